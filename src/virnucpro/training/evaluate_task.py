"""EVALUATE_CLASSIFIER: a trained classifier is calibrated, measured and written as a model set."""

import json
from pathlib import Path
from typing import Any

from virnucpro.consensus.calibrator import Calibrator
from virnucpro.scoring.classifier import load_classifier
from virnucpro.sequences.split_files import read_rows
from virnucpro.training.curves import Points
from virnucpro.training.evaluation import calibrate, call_chunks, curve_panels, score_part
from virnucpro.training.examples import Vectors
from virnucpro.training.figures import figures_by
from virnucpro.training.fit_calibration import Method
from virnucpro.training.trained_set import ByPart, write_trained_set

LOSSES = ("train_loss", "val_loss")


def evaluate(
    table: Path,
    split: Path,
    vectors: Vectors,
    classifier: Path,
    history: Path,
    training: Path,
    base: dict[str, Any],
    method: Method | None,
) -> None:
    """Write the set into a folder of its name.

    Args:
        table, split: of PREPARE_TRAINING; vectors: of the shards of val and test.
        classifier, history, training: of TRAIN_CLASSIFIER.
        base: trained_set.json of CHECK_MODEL_SET.
        method: of the calibration, or None.
    Raises: InputError as score_part and calibrate.
    """
    model = load_classifier(classifier)
    val, test = (score_part(table, vectors, part, model) for part in ("val", "test"))
    calibration = calibrate(val, method) if method else None
    raw = {"test": call_chunks(test, None), "val": call_chunks(val, None)}
    chunk_bp = base["chunk_bp"]
    lines = {"test": raw["test"]}
    measured: ByPart = {}
    if calibration:
        lines = {
            "uncalibrated": raw["test"],
            "calibrated": call_chunks(test, Calibrator(calibration, 0.5)),
        }
        measured["test"] = figures_by(lines["calibrated"], chunk_bp)
        raw["test_uncalibrated"] = raw.pop("test")
    measured |= {part: figures_by(chunks, chunk_bp) for part, chunks in raw.items()}
    write_trained_set(
        base,
        classifier,
        model.input_width,
        json.loads(training.read_text()),
        calibration,
        measured,
        curve_panels(lines, _losses(history)),
        history,
        split,
    )


def _losses(history: Path) -> dict[str, Points]:
    """Return the lines of the training panel."""
    with history.open() as table:
        header = table.readline()
    names = header.rstrip("\n").split("\t")
    rows = [dict(zip(names, row, strict=True)) for row in read_rows(history, header)]
    return {loss: [(float(row["epoch"]), float(row[loss])) for row in rows] for loss in LOSSES}
