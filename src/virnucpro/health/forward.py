"""Three frames through a model set on this machine, against what they gave before."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from virnucpro.errors import InputError
from virnucpro.health.device import NoDeviceError, torch_device
from virnucpro.health.finding import FAIL, OK, SKIP, Finding, Machine
from virnucpro.model_sets.description import read_model_set

if TYPE_CHECKING:
    import torch

EMBEDDED = "models/compact-500"
EXPECTATION = "assets/health/compact-500.json"  # tools/write_health_expectation.py makes it
ENCODERS = ("dnabert_s", "esm2")
# An open reading frame of 166 codons, a short one, and one with an unknown base and residue.
FRAMES = {
    "dnabert_s": (
        "ATGGCTAAACGTCTGGAAGATCCGTTTGGCAACTACACGTGGCAGCATTCTGTTATTTGCA" * 8 + "ACGTACGTACG",
        "ATGGCTAAACGTCTGG",
        "GATTACACCGGTNACGTTGCA",
    ),
    "esm2": ("MAKRLEDPFGNYTWQHSVIC" * 8 + "MAKRLE", "MAKRL", "DYTGXVA"),
}
# Vectors have numbers up to 3. Measured on a CPU with four sets of instructions: float32 differs by
# 9.5e-7 at most, float16 by 7e-4 with a cosine of 0.9999999 and scores within 7e-5; bfloat16, which
# no task takes by itself, has 0.99997 and 1.2e-3. Another device may add in yet another order.
TOLERANCE_FP32 = 1e-4
LEAST_COSINE = 0.9999
TOLERANCE_SCORE = {"fp32": 1e-4, "fp16": 2e-3}


@dataclass(frozen=True)
class Forward:
    """What came of the frames: float32 [3, width] of each encoder, and P(virus) of each frame."""

    vectors: dict[str, NDArray[np.float32]]
    p_virus: NDArray[np.float32]


def check_forward(machine: Machine) -> Iterator[Finding]:
    """Run each precision that tasks take by themselves here.

    The embedded set is compared with a stored expectation; another set must only give the same
    finite numbers twice.
    """
    name = "forward pass"
    try:
        device = torch_device(machine.device)
    except NoDeviceError as error:
        yield Finding(name, SKIP, str(error))
        return
    folder = machine.model_set or (machine.pipeline and machine.pipeline / EMBEDDED)
    if folder is None:
        yield Finding(name, SKIP, "no checkout here, so no model set", "Give --model-set.")
        return
    for precision in ("fp32",) if device.type == "cpu" else ("fp32", "fp16"):
        where = f"{folder.name} on {device.type} in {precision}"
        try:
            components = read_components(folder)
            found = run_frames(components, device, precision)
            if machine.model_set is None and machine.pipeline:
                stored = machine.pipeline / EXPECTATION
                text = compare(found, read_expectation(stored, components), precision)
            else:
                text = repeat(found, run_frames(components, device, precision))
        except Exception as error:  # what a driver or a compiler throws is what we are here to find
            remedy = "Copy or fetch the model set again, update the driver, or use --device cpu."
            cause = (str(error).splitlines() or [""])[0] or type(error).__name__
            yield Finding(name, FAIL, f"{where}: {cause}", remedy)
        else:
            yield Finding(name, OK, f"{where}: {text}")


def read_components(folder: Path) -> dict[str, tuple[Path, str]]:
    """Return path and sha256 of each component of a set.

    Raises: InputError when the folder is no set.
    """
    return {part.role: (part.path, part.sha256) for part in read_model_set(folder).components}


def run_frames(
    components: dict[str, tuple[Path, str]], device: "torch.device", precision: str
) -> Forward:
    """Embed and score FRAMES.

    Raises: InputError for a damaged component, and whatever torch and its compilers do.
    """
    from virnucpro.engine.embed import embed
    from virnucpro.engine.load import load_engine, load_tokenizer
    from virnucpro.scoring.classifier import load_classifier
    from virnucpro.scoring.composition_features import composition_features

    vectors = {}
    tokenizer, tokenizer_sha256 = components["tokenizer"]
    for name in ENCODERS:
        path, sha256 = components[name]
        engine = load_engine(path, sha256, device, precision)
        result = embed(
            engine.model,
            load_tokenizer(engine.encoder, device, tokenizer, tokenizer_sha256),
            FRAMES[name],
            engine.token_budget,
            exact=engine.exact,
        )
        vectors[name] = result.distinct[result.row_of]
    classifier = load_classifier(*components["classifier"])
    counts = (
        composition_features(*(FRAMES[name] for name in ENCODERS))
        if classifier.takes_composition
        else None
    )
    scores = classifier.scores(vectors["dnabert_s"], vectors["esm2"], counts)
    return Forward(vectors, scores[:, 1])


def read_expectation(path: Path, components: dict[str, tuple[Path, str]]) -> Forward:
    """Return what the frames gave when it was written.

    Raises: InputError when it is missing, or of other components or frames.
    """
    try:
        stored: dict[str, Any] = json.loads(path.read_text())
        sums = {name: sha256 for name, (_, sha256) in components.items()}
        frames = {name: list(texts) for name, texts in FRAMES.items()}
        if stored["components"] != sums or stored["frames"] != frames:
            raise InputError(
                f"{path}: is of other files than the model set. Make it again with "
                "tools/write_health_expectation.py, or copy the checkout again."
            )
        vectors = {name: np.array(stored[name], np.float32) for name in ENCODERS}
        return Forward(vectors, np.array(stored["p_virus"], np.float32))
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path}: cannot be read ({error}). Copy the checkout again.") from error


def compare(found: Forward, expected: Forward, precision: str) -> str:
    """Return how close both are.

    Raises: InputError when they are not.
    """
    pairs = [(found.vectors[name], expected.vectors[name]) for name in ENCODERS]
    gap = float(np.max([np.abs(a - b).max() for a, b in pairs]))  # numpy's keeps a NaN
    cosine = float(np.min([cosine_min(a, b) for a, b in pairs]))
    score_gap = float(np.abs(found.p_virus - expected.p_virus).max())
    text = f"vectors differ by {gap:.1e} at most (cosine {cosine:.6f}), scores by {score_gap:.1e}"
    near = gap <= TOLERANCE_FP32 if precision == "fp32" else cosine >= LEAST_COSINE
    if not (near and score_gap <= TOLERANCE_SCORE[precision]):  # also when they are no numbers
        raise InputError(f"{text}, which is too far from what is expected")
    return text


def repeat(first: Forward, second: Forward) -> str:
    """Return that two passes agree.

    Raises: InputError when they do not, or hold no finite numbers.
    """
    pairs = [(first.vectors[n], second.vectors[n]) for n in ENCODERS]
    pairs.append((first.p_virus, second.p_virus))
    if not all(np.isfinite(a).all() for a, _ in pairs):
        raise InputError("vectors or scores are not finite")
    if not all(np.array_equal(a, b) for a, b in pairs):
        raise InputError("two passes over the same frames differ: the GPU or its driver is faulty")
    return "two passes agree to the last bit"


def cosine_min(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Return the smallest cosine between rows of the same number."""
    products = (a * b).sum(axis=1)
    return float((products / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min())
