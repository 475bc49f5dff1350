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
from dataclasses import asdict, astuple, fields
from pathlib import Path
from typing import Any

from virnucpro.consensus.calibrator import Calibration
from virnucpro.files import file_sha256
from virnucpro.model_sets.description import write_description
from virnucpro.model_sets.rules import frame_rule
from virnucpro.training.card import card
from virnucpro.training.chunk_table import write_table
from virnucpro.training.curves import Panel, svg
from virnucpro.training.figures import Figures
from virnucpro.training.set_folder import new_set_folder, write_calibration

CLASSIFIER = "classifier.safetensors"
ByPart = dict[str, dict[str, dict[str, Figures]]]  # part -> all, class ... -> value -> figures


def write_trained_set(
    base: dict[str, Any],
    classifier: Path,
    input_width: int,
    training: dict[str, Any],
    calibration: Calibration | None,
    measured: ByPart,
    panels: list[Panel],
    history: Path,
    split: Path,
) -> None:
    """Write a set into a folder of its name; it appears when it is complete.

    Args:
        base: trained_set.json of CHECK_MODEL_SET: what the set says of itself and its encoders.
        classifier: file; input_width: numbers it takes.
        training: how it was trained: training.json of TRAIN_CLASSIFIER.
        calibration: or None.
        measured: figures; panels: of the curves.
        history, split: tables to copy.
    """
    with new_set_folder(Path(base["name"])) as folder:
        shutil.copyfile(classifier, folder / CLASSIFIER)
        shutil.copyfile(history, folder / "history.tsv")
        shutil.copyfile(split, folder / "split.tsv")
        (folder / "curves.svg").write_text(svg(panels))
        metrics = {
            "training": training,
            "figures": measured,
            "calibration": calibration.measured if calibration else None,
        }
        metrics_json = json.dumps(metrics, indent=2, default=asdict)  # Figures are dataclasses
        (folder / "metrics.json").write_text(metrics_json + "\n")
        _write_metrics_table(folder / "metrics.tsv", measured)
        entry = {
            "file": CLASSIFIER,
            "sha256": file_sha256(classifier),
            "architecture": "mlp",
            "dtype": "float32",
            "input_width": input_width,
            "source": "trained by virnucpro-nf --workflow train",
        }
        test = measured["test"]["all"]["all"]
        write_description(folder, _description(base, entry, training, test))
        if calibration:
            rule = frame_rule(base["frame_rule"])
            write_calibration(folder, calibration, base["chunk_bp"], rule.name)
        (folder / "README.md").write_text(card(base, training, measured, calibration))


def _write_metrics_table(path: Path, measured: ByPart) -> None:
    """Write a row for each set of figures."""
    names = [field.name for field in fields(Figures)]
    rows = (
        (part, by, value, *astuple(figures))
        for part, of_part in measured.items()
        for by, values in of_part.items()
        for value, figures in values.items()
    )
    write_table(path, ("part", "by", "value", *names), rows)


def _description(
    base: dict[str, Any], classifier: dict[str, Any], training: dict[str, Any], test: Figures
) -> dict[str, Any]:
    """Return the content of modelset.json, without the calibration."""
    return {
        "format": 1,
        "name": base["name"],
        "made_by": f"virnucpro-nf --workflow train, version {base['pipeline_version']}",
        "base": base["base"],
        "chunk_bp": [base["chunk_bp"]],
        "frame_rule": base["frame_rule"],
        "licence": base["licence"],
        "components": {**base["components"], "classifier": classifier},
        "calibration": None,
        "measured": {"training": training, "test": asdict(test)},
    }
