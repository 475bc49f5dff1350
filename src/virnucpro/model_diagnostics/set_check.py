"""Checks a model set on this machine: hash and forward pass of each component, then its rules.

The rules are its frame rule, which this version may not have, and its calibrations.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from virnucpro.engine.device import choose_precision
from virnucpro.engine.embed import embed
from virnucpro.engine.load import load_engine, load_tokenizer
from virnucpro.engine.memory import GpuMemoryError
from virnucpro.errors import InputError
from virnucpro.files import check_sha256
from virnucpro.model_sets.calibration_entries import load_entry
from virnucpro.model_sets.description import Component, ModelSet
from virnucpro.model_sets.rules import FRAME_RULES
from virnucpro.models.tokenizers import BpeTokenizer
from virnucpro.scoring.classifier import load_classifier

# Invented, of two lengths; it matters only that the same frames are embedded twice.
DNA_FRAMES = ("ATGGCTAAACGTCTGGAAGATCCGTTTGGCAACTAC" * 4, "GATTACACCGGTNACG")
PROTEIN_FRAMES = ("MAKRLEDPFGNYTWQHSVIC" * 3, "DYTGXM")


@dataclass(frozen=True)
class PartStatus:
    """Whether a component, frame rule or calibration works, and why."""

    role: str
    ok: bool
    text: str


def check_set(model_set: ModelSet, device: torch.device) -> Iterator[PartStatus]:
    """Yield a status for each component and calibration, and for an unknown frame rule.

    Args:
        model_set: to check.
        device: to load the encoders on, in the precision that `auto` selects for it.
    """
    for component in model_set.components:
        try:
            yield PartStatus(component.role, True, _check(component, model_set, device))
        except (InputError, GpuMemoryError) as error:
            yield PartStatus(component.role, False, str(error))
    if (rule := model_set.frame_rule.name) not in FRAME_RULES:
        remedy = "Update virnucpro, or run with --frame_rule open."
        yield PartStatus("frame_rule", False, f"{rule}: this version does not have it. {remedy}")
    for entry in model_set.calibrations:
        role = f"calibration for {entry}"
        try:
            prior = load_entry(model_set, entry).viral_prior
            yield PartStatus(role, True, f"{entry.file}, prior {prior:g}")
        except InputError as error:
            yield PartStatus(role, False, str(error))


def _check(component: Component, model_set: ModelSet, device: torch.device) -> str:
    """Return a description of a component that works.

    Raises: InputError for one that does not.
    """
    if not component.path.exists():
        raise InputError(f"{component.path}: is missing. Copy it, or build the set again.")
    check_sha256(component.path, component.sha256)
    match component.role:
        case "tokenizer":
            return f"{BpeTokenizer(component.path).vocab_size} tokens"
        case "classifier":
            return _check_classifier(component)
    precision = choose_precision("auto", device)
    engine = load_engine(component.path, component.sha256, device, precision)
    model = engine.encoder
    if model.config.width != component.entry["width"]:
        raise InputError(
            f"{component.path}: gives {model.config.width} numbers a frame, modelset.json says "
            f"{component.entry['width']}. Build the set again."
        )
    vocabulary = model_set.component("tokenizer")
    tokenizer = load_tokenizer(model, device, vocabulary.path, vocabulary.sha256)
    frames = PROTEIN_FRAMES if component.role == "esm2" else DNA_FRAMES
    first, second = (
        embed(engine.model, tokenizer, frames, engine.token_budget, exact=engine.exact).vectors
        for _ in range(2)
    )
    if first.tobytes() != second.tobytes():
        raise InputError(
            f"{component.path}: two forward passes on {device} differ by up to "
            f"{np.abs(first - second).max():.1e}. The device is faulty, or its driver."
        )
    dtype = component.entry.get("dtype", "unknown dtype")
    return (
        f"{model.config.layers} layers, width {model.config.width}, {dtype}, "
        f"computes in {precision} on {device}"
    )


def _check_classifier(component: Component) -> str:
    classifier = load_classifier(component.path, component.sha256)
    width = component.entry["input_width"]
    composition_width = component.entry.get("composition_features") or 0
    if classifier.input_width != width:
        raise InputError(
            f"{component.path}: takes {classifier.input_width} numbers a frame, modelset.json "
            f"says {width}. Build the set again."
        )
    if classifier.takes_composition != (composition_width > 0):
        takes = "takes" if classifier.takes_composition else "does not take"
        raise InputError(
            f"{component.path}: {takes} composition features, modelset.json says "
            f"composition_features {composition_width}. Build the set again."
        )
    features = np.random.default_rng(0).normal(0, 0.2, (4, width)).astype(np.float32)
    dna, protein, composition = np.split(features, [1, width - composition_width], axis=1)
    scores = classifier.scores(dna, protein, composition if composition_width else None)
    if not np.isfinite(scores).all():
        raise InputError(f"{component.path}: its scores are not finite. Build the set again.")
    text = f"takes {width} numbers a frame"
    return f"{text}, {composition_width} composition features" if composition_width else text
