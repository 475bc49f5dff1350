"""Compares lower precisions with float32 on a model set's own weights and real frames.

Random weights hide what real ones show (single large activations, scores near the tie), so the
figures of one set say little about another: each set is measured, and stores its figures in
modelset.json.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from virnucpro.engine.embed import embed_within_memory
from virnucpro.engine.embed_task import LIBRARY
from virnucpro.engine.load import load_engine, load_tokenizer
from virnucpro.engine.memory import GpuMemoryError, gpu_memory_errors
from virnucpro.errors import InputError
from virnucpro.model_diagnostics.machine import device_name
from virnucpro.model_diagnostics.parity import score_measures, vector_measures
from virnucpro.model_diagnostics.real_frames import RealFrames
from virnucpro.model_sets.description import ModelSet
from virnucpro.scoring.classifier import load_classifier
from virnucpro.scoring.composition_features import composition_features
from virnucpro.task import library_digest

MIN_FRAMES = 500  # fewer do not show a share of 1 %
PRECISIONS = {
    ("cuda", "esm2"): ("fp16", "bf16", "fp8"),
    ("cuda", "dnabert_s"): ("fp16", "bf16"),
    ("cpu", "esm2"): ("bf16",),
    ("cpu", "dnabert_s"): ("bf16",),
}


@dataclass(frozen=True)
class Floor:
    """The lowest figures that certify a precision.

    Attributes:
        cosine, centred_cosine: smallest of all frames; see model_diagnostics.parity.
        flip_share: share of changed labels among the frames outside the tie, at most.
    """

    cosine: float
    centred_cosine: float
    flip_share: float


# fp16, the default of a GPU, must change no label. Its rounding (2^-11) leaves a cosine of five
# nines. Centred vectors are 50 times shorter in compact-500, which makes the same error relatively
# larger. bf16 and fp8 (2^-8, 2^-4) are chosen for speed by people who accept one changed label in
# 100; their centred cosines are reported, not judged.
FLOORS = {
    "fp16": Floor(0.9999, 0.999, 0.0),
    "bf16": Floor(0.999, -1.0, 0.01),
    "fp8": Floor(0.999, -1.0, 0.01),
}


@dataclass(frozen=True)
class Certificate:
    """The measurement of one encoder in one precision.

    Attributes:
        role: "esm2" or "dnabert_s".
        reason: why it cannot be computed here; then faults and entry are empty.
        faults: the figures below their floor, a sentence each.
        entry: for modelset.json: the figures and what they depend on.
    """

    role: str
    precision: str
    reason: str
    faults: tuple[str, ...]
    entry: dict[str, Any]


def certify(model_set: ModelSet, frames: RealFrames, device: torch.device) -> Iterator[Certificate]:
    """Yield a certificate for each encoder and precision, as they are measured.

    Scores come from the set's classifier, the other encoder's vectors in float32.

    Raises: InputError for too few frames, and when float32 fails, too.
    """
    if len(frames.dna) < MIN_FRAMES:
        raise InputError(
            f"{frames.source}: {len(frames.dna)} frames. Give at least {MIN_FRAMES} to --frames."
        )
    part = model_set.component("classifier")
    classifier = load_classifier(part.path, part.sha256)
    composition = None
    if classifier.takes_composition:
        composition = composition_features(frames.dna, frames.protein)
    sequences = {"dnabert_s": frames.dna, "esm2": frames.protein}
    exact = {role: _vectors(model_set, role, sequences[role], device, "fp32")[0]
             for role in sequences}  # fmt: skip
    exact_scores = classifier.scores(exact["dnabert_s"], exact["esm2"], composition)[:, 1]
    shared = {
        "model_set_digest": model_set.digest,
        "device": device_name(device),
        "library_digest": library_digest(LIBRARY),
        "frames": len(frames.dna),
        "frames_source": frames.source,
        "date": date.today().isoformat(),
    }
    for role in sequences:
        for precision in PRECISIONS[device.type, role]:
            try:
                vectors, numerics = _vectors(model_set, role, sequences[role], device, precision)
            except InputError as error:  # due to the precision, since float32 worked
                yield Certificate(role, precision, str(error), (), {})
                continue
            both = {**exact, role: vectors}
            scores = classifier.scores(both["dnabert_s"], both["esm2"], composition)[:, 1]
            figures = vector_measures(vectors, exact[role]) | score_measures(scores, exact_scores)
            faults = below_floor(FLOORS[precision], figures)
            entry = {
                **shared, "passed": not faults, "faults": faults,
                "figures": figures, "numerics": numerics,
            }  # fmt: skip
            yield Certificate(role, precision, "", tuple(faults), entry)


def _vectors(
    model_set: ModelSet, role: str, sequences: list[str], device: torch.device, precision: str
) -> tuple[NDArray[np.float32], dict[str, str | int]]:
    """Return the vectors float32 [n, D] of an encoder, and the numerics key.

    Raises: InputError, also when memory runs out.
    """
    encoder, tokenizer = model_set.component(role), model_set.component("tokenizer")
    try:
        with gpu_memory_errors():
            engine = load_engine(encoder.path, encoder.sha256, device, precision)
            tokens = load_tokenizer(engine.encoder, device, tokenizer.path, tokenizer.sha256)
            names = [str(n + 1) for n in range(len(sequences))]
            threads = torch.get_num_threads()
            result, engine = embed_within_memory(engine, tokens, sequences, names, threads)
    except GpuMemoryError as error:
        raise InputError(f"{role} in {precision}: {error}") from error
    return result.vectors, engine.numerics


def below_floor(floor: Floor, figures: dict[str, float | int]) -> list[str]:
    """Return the figures that are below a floor, a sentence each."""
    faults = [
        f"{name.replace('_', ' ')} is {figures[name]:.6f}, below {minimum}"
        for name, minimum in (
            ("cosine_min", floor.cosine), ("centred_cosine_min", floor.centred_cosine),
        )
        if not figures[name] >= minimum
    ]  # fmt: skip
    flips, count = figures["flips_outside_tie"], figures["outside_tie"]
    if flips > floor.flip_share * count:
        faults.append(f"{flips} of {count} labels change, above {floor.flip_share:.0%}")
    return faults
