"""Compares the scores of three frames on this machine with stored ones."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from virnucpro.errors import InputError
from virnucpro.health.check_result import FAIL, OK, SKIP, CheckResult, Machine
from virnucpro.health.device import torch_device
from virnucpro.model_diagnostics.parity import cosines
from virnucpro.model_sets.description import ModelSet, read_model_set

if TYPE_CHECKING:
    import torch

BUNDLED_SET = "models/compact-500"
EXPECTATION = "assets/health/compact-500.json"  # tools/write_health_expectation.py writes it
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
# Vectors have values up to 3. Measured on a CPU with four sets of instructions: float32 differs by
# 9.5e-7 at most, float16 by 7e-4 with a cosine of 0.9999999 and scores within 7e-5; bfloat16, which
# no task uses by default, has 0.99997 and 1.2e-3. Another device may add in yet another order.
TOLERANCE_FP32 = 1e-4
MIN_COSINE = 0.9999
TOLERANCE_SCORE = {"fp32": 1e-4, "fp16": 2e-3}


@dataclass(frozen=True)
class ForwardResult:
    """Vectors float32 [3, width] of each encoder, and P(virus) of each frame."""

    vectors: dict[str, NDArray[np.float32]]
    p_virus: NDArray[np.float32]


def check_forward(machine: Machine) -> Iterator[CheckResult]:
    """Yield a result for each precision that tasks use by default on this device.

    The bundled set is compared with a stored expectation; another set must only give the same
    finite numbers twice.
    """
    name = "forward pass"
    try:
        device = torch_device(machine.device)
    except InputError as error:
        yield CheckResult(name, SKIP, str(error))
        return
    folder = machine.model_set or (machine.pipeline and machine.pipeline / BUNDLED_SET)
    if folder is None:
        yield CheckResult(name, SKIP, "there is no checkout, so no model set", "Give --model-set.")
        return
    for precision in ("fp32",) if device.type == "cpu" else ("fp32", "fp16"):
        where = f"{folder.name} on {device.type} in {precision}"
        try:
            model_set = read_model_set(folder)
            actual = run_frames(model_set, device, precision)
            if machine.model_set is None and machine.pipeline:
                stored = machine.pipeline / EXPECTATION
                text = check_expected(actual, read_expectation(stored, model_set), precision)
            else:
                text = check_equal(actual, run_frames(model_set, device, precision))
        except Exception as error:  # whatever a driver or a compiler raises is to be reported
            remedy = "Copy or fetch the model set again, update the driver, or use --device cpu."
            cause = (str(error).splitlines() or [""])[0] or type(error).__name__
            yield CheckResult(name, FAIL, f"{where}: {cause}", remedy)
        else:
            yield CheckResult(name, OK, f"{where}: {text}")


def run_frames(model_set: ModelSet, device: "torch.device", precision: str) -> ForwardResult:
    """Embed and score FRAMES.

    Raises: InputError for a damaged component, and whatever torch and its compilers do.
    """
    from virnucpro.engine.embed import embed
    from virnucpro.engine.load import load_engine, load_tokenizer
    from virnucpro.scoring.classifier import load_classifier
    from virnucpro.scoring.composition_features import composition_features

    vectors = {}
    tokenizer, classifier_file = model_set.component("tokenizer"), model_set.component("classifier")
    for name in ENCODERS:
        encoder = model_set.component(name)
        engine = load_engine(encoder.path, encoder.sha256, device, precision)
        result = embed(
            engine.model,
            load_tokenizer(engine.encoder, device, tokenizer.path, tokenizer.sha256),
            FRAMES[name],
            engine.token_budget,
            exact=engine.exact,
        )
        vectors[name] = result.distinct[result.row_of]
    classifier = load_classifier(classifier_file.path, classifier_file.sha256)
    composition = None
    if classifier.takes_composition:
        composition = composition_features(FRAMES["dnabert_s"], FRAMES["esm2"])
    scores = classifier.scores(vectors["dnabert_s"], vectors["esm2"], composition)
    return ForwardResult(vectors, scores[:, 1])


def read_expectation(path: Path, model_set: ModelSet) -> ForwardResult:
    """Return the stored result.

    Raises: InputError when the file is missing, or of other components or frames.
    """
    try:
        stored: dict[str, Any] = json.loads(path.read_text())
        hashes = {component.role: component.sha256 for component in model_set.components}
        frames = {name: list(texts) for name, texts in FRAMES.items()}
        if stored["components"] != hashes or stored["frames"] != frames:
            raise InputError(
                f"{path}: belongs to another version of the model set. Write it again with "
                "tools/write_health_expectation.py, or copy the checkout again."
            )
        vectors = {name: np.array(stored[name], np.float32) for name in ENCODERS}
        return ForwardResult(vectors, np.array(stored["p_virus"], np.float32))
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path}: cannot be read ({error}). Copy the checkout again.") from error


def check_expected(actual: ForwardResult, expected: ForwardResult, precision: str) -> str:
    """Return how close a result is to the expected one, as text.

    Raises: InputError when it is too far away.
    """
    pairs = [(actual.vectors[name], expected.vectors[name]) for name in ENCODERS]
    gap = float(np.max([np.abs(a - b).max() for a, b in pairs]))  # np.max keeps a NaN
    cosine = float(np.min([cosines(a, b).min() for a, b in pairs]))
    score_gap = float(np.abs(actual.p_virus - expected.p_virus).max())
    text = f"vectors differ by {gap:.1e} at most (cosine {cosine:.6f}), scores by {score_gap:.1e}"
    is_near = gap <= TOLERANCE_FP32 if precision == "fp32" else cosine >= MIN_COSINE
    if not (is_near and score_gap <= TOLERANCE_SCORE[precision]):  # also for NaN
        raise InputError(f"{text}, which is too far from the expected values")
    return text


def check_equal(first: ForwardResult, second: ForwardResult) -> str:
    """Return a text that two passes agree.

    Raises: InputError when they do not, or have values that are not finite.
    """
    pairs = [(first.vectors[n], second.vectors[n]) for n in ENCODERS]
    pairs.append((first.p_virus, second.p_virus))
    if not all(np.isfinite(a).all() for a, _ in pairs):
        raise InputError("vectors or scores are not finite")
    if not all(np.array_equal(a, b) for a, b in pairs):
        raise InputError("two passes over the same frames differ: the GPU or its driver is faulty")
    return "two passes agree to the last bit"
