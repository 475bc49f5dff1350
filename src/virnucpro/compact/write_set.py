"""Write a trained network as a model set: components, modelset.json, calibrations, and card."""

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from virnucpro.compact.card import compact_card
from virnucpro.compact.frame_pool import Frames
from virnucpro.compact.network import Network
from virnucpro.compact.stored_set import load_set, scored_windows, sequences_auroc
from virnucpro.compact.windows import Windows, field_weights
from virnucpro.consensus.calibrator import Calibration, Calibrator
from virnucpro.files import file_sha256
from virnucpro.model_sets.description import COMPACT_SOURCE, read_model_set, write_description
from virnucpro.model_sets.rules import FRAME_RULES
from virnucpro.models.component import write_component
from virnucpro.scoring.classifier import save_classifier
from virnucpro.scoring.composition_features import COMPOSITION_WIDTH
from virnucpro.sequences.translation import LONGEST_OPEN_RULE, MIN_RESIDUES
from virnucpro.training.evaluation import ScoredChunk, calibrate, call_chunks
from virnucpro.training.figures import figures, figures_by
from virnucpro.training.measures import auroc
from virnucpro.training.set_folder import new_set_folder, write_calibration

DNABERT_S, ESM2 = "dnabert_s.safetensors", "esm2.safetensors"
CLASSIFIER, TOKENIZER = "classifier.safetensors", "tokenizer.json"
TOKENIZER_SOURCE = "DNABERT-2, zhihan1996/DNABERT-2-117M, Apache-2.0"
LICENCE = "weights: as this project, see LICENSE; tokenizer.json: Apache-2.0 (DNABERT-2)"


def write_set(
    folder: Path,
    chunk_bp: int,
    network: Network,
    refitted: Network,
    tokenizer: Path,
    validation: dict[int, Frames],
    run: dict[str, Any],
) -> dict[str, Any]:
    """Write a set and its card into a folder, which appears when complete; return its figures.

    Figures and calibrations come from a network that has not seen the validation sequences. The one
    that stays in the set has: families are few, and each more is a gain on families unseen by both.

    Args:
        folder: of the set; an older one is replaced.
        chunk_bp: length of the windows that it was trained on.
        network: trained without the validation sequences.
        refitted: trained in the same way with them.
        tokenizer: the tokenizer.json that the DNA was tokenised with.
        validation: length in bp -> windows that `network` has not seen; `chunk_bp` calibrates.
        run: how the network was trained, the baselines included.
    """
    with new_set_folder(folder) as temporary:
        shutil.copyfile(tokenizer, temporary / TOKENIZER)
        licence = tokenizer.with_name("LICENSE-tokenizer.txt")
        shutil.copyfile(licence, temporary / licence.name)
        _write_network(temporary, folder.name, chunk_bp, network)
        device = next(network.parameters()).device
        measured, calibrations = _measure(temporary, chunk_bp, validation, device)
        measured |= {"run": run}
        _write_network(temporary, folder.name, chunk_bp, refitted)
        for rule, calibration in calibrations.items():
            write_calibration(temporary, calibration, chunk_bp, rule)
        # read again: the calibrations were written into it
        description = read_model_set(temporary).description | {"measured": measured}
        write_description(temporary, description)
        (temporary / "README.md").write_text(compact_card(description))
    return measured


def _write_network(folder: Path, name: str, chunk_bp: int, network: Network) -> None:
    """Write components and modelset.json."""
    write_component(folder / DNABERT_S, network.dnabert_s, torch.float16)
    write_component(folder / ESM2, network.esm2, torch.float16)
    # the classifier too: 3,072 rows of 977 numbers are most of the set
    tensors = {key: value.astype(np.float16) for key, value in network.classifier().items()}
    save_classifier(folder / CLASSIFIER, tensors, takes_composition=True)
    write_description(folder, _describe(folder, name, chunk_bp, network))


def _measure(
    folder: Path, chunk_bp: int, validation: dict[int, Frames], device: torch.device
) -> tuple[dict[str, Any], dict[str, Calibration]]:
    """Return the figures of the set in a folder by length, and a calibration by frame rule."""
    stored = load_set(read_model_set(folder), device)
    scores = {bp: stored.scores(frames) for bp, frames in validation.items()}
    measured: dict[str, Any] = {"by_length": {}, "by_class": {}, "calibration": {}}
    calibrations: dict[str, Calibration] = {}
    calibrators: dict[str, Calibrator] = {}
    for rule in FRAME_RULES:
        scored = scored_windows(validation[chunk_bp], scores[chunk_bp], rule)
        calibrations[rule] = calibration = calibrate(scored, "isotonic")
        calibrators[rule] = Calibrator(calibration, None)
        measured["calibration"][rule] = calibration.measured
        by_class = figures_by(call_chunks(scored, calibrators[rule]), chunk_bp)["class"]
        measured["by_class"][rule] = {name: asdict(values) for name, values in by_class.items()}
    for bp, frames in validation.items():
        measured["by_length"][str(bp)] = {
            rule: _of_rule(scored_windows(frames, scores[bp], rule), frames.windows,
                           calibrators[rule])
            for rule in FRAME_RULES
        }  # fmt: skip
    return measured, calibrations


def _of_rule(scored: list[ScoredChunk], windows: Windows, calibrator: Calibrator) -> dict[str, Any]:
    chunks = call_chunks(scored, calibrator)
    # a chunk that is not called ranks between both labels
    delta = np.array([0.0 if chunk.delta is None else chunk.delta for chunk in chunks])
    return asdict(figures(chunks)) | {
        "auroc_every_chunk": auroc(windows.labels, delta),
        "auroc_field": auroc(windows.labels, delta, field_weights(windows)),
        "auroc_sequences": sequences_auroc(scored),
    }


def _describe(folder: Path, name: str, chunk_bp: int, network: Network) -> dict[str, Any]:
    """Return the content of modelset.json, without what is measured."""

    def entry(file: str, source: str = COMPACT_SOURCE) -> dict[str, Any]:
        return {"file": file, "sha256": file_sha256(folder / file), "source": source}

    def encoder(file: str, architecture: str, width: int) -> dict[str, Any]:
        return entry(file) | {"architecture": architecture, "width": width, "dtype": "float16"}

    widths = network.dnabert_s.config.width, network.esm2.config.width
    return {
        "format": 1,
        "name": name,
        "version": "1",
        "chunk_bp": [chunk_bp],
        "frame_rule": {"rule": LONGEST_OPEN_RULE, "min_residues": MIN_RESIDUES},
        "licence": LICENCE,
        "components": {
            "dnabert_s": encoder(DNABERT_S, "dnabert_s", widths[0]),
            "esm2": encoder(ESM2, "esm2", widths[1]),
            "tokenizer": entry(TOKENIZER, TOKENIZER_SOURCE),
            "classifier": entry(CLASSIFIER)
            | {
                "architecture": "mlp",
                "dtype": "float16",
                "composition_features": COMPOSITION_WIDTH,
                "input_width": sum(widths) + COMPOSITION_WIDTH,
            },
        },
        "calibration": None,
        "measured": None,
    }
