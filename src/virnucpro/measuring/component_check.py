"""Checks a model set on this machine: every hash, then a forward pass of each component.

Then its frame rule, which this version may not have, and its calibrations.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from virnucpro.engine.device import choose_precision
from virnucpro.engine.embed import embed
from virnucpro.engine.load import load_engine
from virnucpro.engine.memory import GpuMemoryError
from virnucpro.errors import InputError
from virnucpro.model_import.known_files import identify
from virnucpro.model_sets.calibration_entries import load_entry
from virnucpro.model_sets.description import Component, ModelSet
from virnucpro.model_sets.rules import FRAME_RULES
from virnucpro.models.tokenizers import BpeTokenizer, EsmTokenizer, Tokenizer
from virnucpro.scoring.classifier import load_classifier

# Made up, and of two lengths; what matters is that the same goes in twice.
DNA_FRAMES = ("ATGGCTAAACGTCTGGAAGATCCGTTTGGCAACTAC" * 4, "GATTACACCGGTNACG")
PROTEIN_FRAMES = ("MAKRLEDPFGNYTWQHSVIC" * 3, "DYTGXM")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Finding:
    """What the check of one component, rule or calibration found."""

    role: str
    ok: bool
    text: str


def check_components(model_set: ModelSet, device: torch.device) -> Iterator[Finding]:
    """Yield a finding for each component and calibration, and for an unknown frame rule.

    Args:
        model_set: to check.
        device: to load the encoders on, in the precision that `auto` means there.
    """
    for component in model_set.components:
        try:
            yield Finding(component.role, True, _check(component, model_set, device))
        except (InputError, GpuMemoryError) as error:
            yield Finding(component.role, False, str(error))
    if (rule := model_set.frame_rule.name) not in FRAME_RULES:
        remedy = "Update virnucpro, or run with --frame_rule open."
        yield Finding("frame_rule", False, f"{rule}: this version does not have it. {remedy}")
    for entry in model_set.calibrations:
        role = f"calibration for {entry}"
        try:
            found = load_entry(model_set, entry)
        except InputError as error:
            yield Finding(role, False, str(error))
        else:
            yield Finding(role, True, f"{entry.file}, prior {found.viral_prior:g}")


def _check(component: Component, model_set: ModelSet, device: torch.device) -> str:
    """Return what is good about a component.

    Raises: InputError for anything that is not.
    """
    _check_hash(component)
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
    tokenizer: Tokenizer
    if component.role == "esm2":
        frames = PROTEIN_FRAMES
        tokenizer = EsmTokenizer(model.config.alphabet)  # type: ignore[union-attr]
    else:
        frames = DNA_FRAMES
        bpe = BpeTokenizer(model_set.component("tokenizer").path)
        if bpe.vocab_size != model.config.vocab_size:  # type: ignore[union-attr]
            raise InputError(
                f"{component.path}: its vocabulary is not that of the tokenizer "
                f"({bpe.vocab_size} tokens). Build the set again."
            )
        tokenizer = bpe
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


def _check_hash(component: Component) -> None:
    if not component.path.exists():
        raise InputError(f"{component.path}: is missing. Copy it, or build the set again.")
    found = identify(component.path).sha256
    if found != component.sha256:
        raise InputError(
            f"{component.path}: sha256 is {found}, expected {component.sha256}. The file is "
            "damaged or another version: copy it again, or build the set again."
        )


def _check_classifier(component: Component) -> str:
    classifier = load_classifier(component.path, component.sha256)
    width, counts = component.entry["input_width"], component.entry.get("composition_features") or 0
    if classifier.input_width != width:
        raise InputError(
            f"{component.path}: takes {classifier.input_width} numbers a frame, modelset.json "
            f"says {width}. Build the set again."
        )
    if classifier.takes_composition != (counts > 0):
        takes = "takes" if classifier.takes_composition else "does not take"
        raise InputError(
            f"{component.path}: {takes} a frame's counts, modelset.json says composition_features "
            f"{counts}. Build the set again."
        )
    features = np.random.default_rng(0).normal(0, 0.2, (4, width)).astype(np.float32)
    dna, protein, counted = np.split(features, [1, width - counts], axis=1)
    scores = classifier.scores(dna, protein, counted if counts else None)
    if not np.isfinite(scores).all():
        raise InputError(f"{component.path}: its scores are not finite. Build the set again.")
    return f"takes {width} numbers a frame" + (f", {counts} of them counts" if counts else "")
