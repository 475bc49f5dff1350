"""EVALUATE_CLASSIFIER: a trained classifier is calibrated, measured and written as a model set."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from virnucpro.calls.sample_files import read_rows
from virnucpro.consensus.calibrator import Calibrator
from virnucpro.files import file_sha256
from virnucpro.scoring.classifier import load_classifier
from virnucpro.training.curves import Points
from virnucpro.training.evaluation import calibrate, curve_panels, score_part, scored_chunks
from virnucpro.training.examples import Vectors
from virnucpro.training.figures import figures_by
from virnucpro.training.fit_calibration import Method
from virnucpro.training.trained_set import ByPart, TrainedSet, write_trained_set

LOSSES = ("train_loss", "val_loss")


@dataclass(frozen=True)
class Request:
    """What to evaluate.

    Attributes:
        table, split: of PREPARE_TRAINING; vectors: of the shards of val and test.
        classifier, history, training: of TRAIN_CLASSIFIER.
        base: what the pipeline says of the new set (trained_set.KEYS).
        method: of the calibration, or None.
    """

    table: Path
    split: Path
    vectors: Vectors
    classifier: Path
    history: Path
    training: Path
    base: dict[str, Any]
    method: Method | None


def evaluate(request: Request) -> None:
    """Write the set into a folder of its name.

    Raises: InputError as score_part and calibrate.
    """
    sha256 = file_sha256(request.classifier)
    classifier = load_classifier(request.classifier, sha256)
    val, test = (
        score_part(request.table, request.vectors, part, classifier) for part in ("val", "test")
    )
    calibration = calibrate(val, request.method) if request.method else None
    raw = {"test": scored_chunks(test, None), "val": scored_chunks(val, None)}
    chunk_bp = request.base["chunk_bp"]
    lines = {"test": raw["test"]}
    measured: ByPart = {}
    if calibration:
        lines = {
            "uncalibrated": raw["test"],
            "calibrated": scored_chunks(test, Calibrator(calibration, 0.5)),
        }
        measured["test"] = figures_by(lines["calibrated"], chunk_bp)
        raw["test_uncalibrated"] = raw.pop("test")
    measured |= {part: figures_by(chunks, chunk_bp) for part, chunks in raw.items()}
    write_trained_set(
        Path(request.base["name"]),
        TrainedSet(
            request.base,
            request.classifier,
            sha256,
            classifier.input_width,
            json.loads(request.training.read_text()),
            calibration,
            measured,
            curve_panels(lines, _losses(request.history)),
            request.history,
            request.split,
        ),
    )


def _losses(history: Path) -> dict[str, Points]:
    """Return the lines of the training panel."""
    with history.open() as table:
        header = table.readline()
    names = header.rstrip("\n").split("\t")
    rows = [dict(zip(names, row, strict=True)) for row in read_rows(history, header)]
    return {loss: [(float(row["epoch"]), float(row[loss])) for row in rows] for loss in LOSSES}
