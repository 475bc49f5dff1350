"""Write a trained classifier as a model set that refers to the encoders of the base set.

SET/modelset.json              the set; its encoders and tokenizer are the files of the base set
SET/classifier.safetensors     SET/calibration-500-open.json
SET/README.md                  the card
SET/metrics.json, metrics.tsv  figures of the test part (training/figures.py)
SET/curves.svg                 ROC, precision and recall, reliability, losses
SET/history.tsv, split.tsv     the epochs; the genomes, and the side of each
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from virnucpro.consensus.calibrator import Calibration
from virnucpro.model_sets.description import write_description
from virnucpro.model_sets.rules import frame_rule
from virnucpro.training.card import card
from virnucpro.training.chunk_table import write_table
from virnucpro.training.curves import Panel, svg
from virnucpro.training.figures import Figures
from virnucpro.training.set_folder import new_set_folder, write_calibration

CLASSIFIER = "classifier.safetensors"
ByPart = dict[str, dict[str, dict[str, Figures]]]  # part -> all, class ... -> value -> figures


@dataclass(frozen=True)
class TrainedSet:
    """What a set is written from.

    Attributes:
        base: trained_set.json of CHECK_MODEL_SET: what the set says of itself and its encoders.
        classifier: file; classifier_sha256: of it; input_width: numbers it takes.
        training: how it was trained: training.json of TRAIN_CLASSIFIER.
        calibration: or None.
        measured: figures; panels: of the curves.
        history, split: tables to copy.
    """

    base: dict[str, Any]
    classifier: Path
    classifier_sha256: str
    input_width: int
    training: dict[str, Any]
    calibration: Calibration | None
    measured: ByPart
    panels: list[Panel]
    history: Path
    split: Path


def write_trained_set(folder: Path, trained: TrainedSet) -> None:
    """Write a set into a folder; it appears when it is complete."""
    with new_set_folder(folder) as temporary:
        shutil.copyfile(trained.classifier, temporary / CLASSIFIER)
        shutil.copyfile(trained.history, temporary / "history.tsv")
        shutil.copyfile(trained.split, temporary / "split.tsv")
        (temporary / "curves.svg").write_text(svg(trained.panels))
        (temporary / "metrics.json").write_text(_metrics_json(trained))
        _write_metrics_table(temporary / "metrics.tsv", trained.measured)
        description = _description(trained)
        write_description(temporary, description)
        if trained.calibration:
            rule = frame_rule(description["frame_rule"])
            write_calibration(temporary, trained.calibration, description["chunk_bp"][0], rule.name)
        (temporary / "README.md").write_text(
            card(trained.base, trained.training, trained.measured, trained.calibration)
        )


def _metrics_json(trained: TrainedSet) -> str:
    """Return the text of metrics.json: training, figures, and what the calibration reaches."""
    content = {
        "training": trained.training,
        "figures": {
            part: {
                by: {value: asdict(figures) for value, figures in rows.items()}
                for by, rows in of_part.items()
            }
            for part, of_part in trained.measured.items()
        },
        "calibration": trained.calibration.measured if trained.calibration else None,
    }
    return json.dumps(content, indent=2) + "\n"


def _write_metrics_table(path: Path, measured: ByPart) -> None:
    """Write a row for each set of figures."""
    names = [field.name for field in fields(Figures)]
    rows = (
        (part, by, value, *(getattr(figures, name) for name in names))
        for part, of_part in measured.items()
        for by, values in of_part.items()
        for value, figures in values.items()
    )
    write_table(path, ("part", "by", "value", *names), rows)


def _description(trained: TrainedSet) -> dict[str, Any]:
    """Return the content of modelset.json, without the calibration."""
    base = trained.base
    classifier = {
        "file": CLASSIFIER,
        "sha256": trained.classifier_sha256,
        "architecture": "mlp",
        "dtype": "float32",
        "input_width": trained.input_width,
        "source": "trained by virnucpro-nf --workflow train",
    }
    others: Mapping[str, Any] = base["components"]
    return {
        "format": 1,
        "name": base["name"],
        "made_by": f"virnucpro-nf --workflow train, version {base['pipeline_version']}",
        "base": base["base"],
        "chunk_bp": [base["chunk_bp"]],
        "frame_rule": base["frame_rule"],
        "licence": base["licence"],
        "components": {**others, "classifier": classifier},
        "calibration": None,
        "measured": {
            "training": trained.training,
            "test": asdict(trained.measured["test"]["all"]["all"]),
        },
    }
