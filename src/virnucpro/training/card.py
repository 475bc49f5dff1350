"""The model card of a trained set, Markdown."""

from typing import Any

from virnucpro.consensus.calibrator import Calibration
from virnucpro.model_sets.rules import frame_rule
from virnucpro.training.figures import Figures

CARD = """# {name}

A classifier trained by `nextflow run . --workflow train` on the embeddings of the model set
{base}, whose encoders and tokenizer it uses unchanged; they stay where that set has them.

## Data

Chunks of {chunk_bp} bp, frame rule `{frame_rule}`. Genomes of one group are on one side of the
split (`split.tsv`); {dropped:,} chunks were dropped since another side has their sequence, on
either strand. Trained on {train_frames:,} {frames_of} frames of {train_chunks:,} chunks
({train_viral:,} viral, {train_nonviral:,} nonviral). The best of {epochs} epochs, number
{best_epoch}, was chosen by the {criterion} of {val_chunks:,} validation chunks. The sources and
their licences: those who trained it know them; add them here.

## Figures

Of the test part, which neither training, choice of the epoch nor calibration saw
(`metrics.tsv` has more, `curves.svg` the curves):

| | |
| --- | --- |
{figures}

| class | chunks | with a frame | AUROC | accuracy |
| --- | --- | --- | --- | --- |
{classes}

A class is compared with all chunks of the other label. Chunks without a frame are not called, and
not in the other figures.

## Calibration

{calibration}

## How it was made

Trainer `{trainer}`, seed {seed}, weights by {balance}, {training_frames} frames, torch {torch},
virnucpro-nf {version}. Licence: {licence}.
"""
UNCALIBRATED = "None: scores are not probabilities."
CALIBRATED = """By {method}, on the validation part, of chunks and of stretches of several.

| from so many chunks on | viral | nonviral | calibration error before | after, held out |
| --- | --- | --- | --- | --- |
{rows}"""
NAMES = {
    "called_share": "share of chunks with a frame",
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "accuracy": "accuracy",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "ece": "calibration error (ECE)",
}


def card(
    base: dict[str, Any],
    training: dict[str, Any],
    measured: dict[str, dict[str, dict[str, Figures]]],
    calibration: Calibration | None,
) -> str:
    """Return the text of the card (arguments as of trained_set.write_trained_set)."""
    test = measured["test"]
    total = test["all"]["all"]
    rows = [("chunks (viral, nonviral)", f"{total.chunks:,} ({total.viral:,}, {total.nonviral:,})")]
    rows += [(text, _number(getattr(total, name))) for name, text in NAMES.items()]
    classes = [
        f"| {name} | {of_class.chunks:,} | {of_class.called:,} | {_number(of_class.auroc)} | "
        f"{_number(of_class.accuracy)} |"
        for name, of_class in test["class"].items()
    ]
    return CARD.format(
        **{key: value for key, value in training.items() if key != "val"},
        name=base["name"],
        base=f"{base['base']['name']} ({base['base']['digest'][:12]})",
        chunk_bp=base["chunk_bp"],
        frame_rule=frame_rule(base["frame_rule"]),
        frames_of="coding" if training["training_frames"] == "coding" else "open or partial",
        figures="\n".join(f"| {text} | {value} |" for text, value in rows),
        classes="\n".join(classes),
        calibration=_calibration_text(calibration),
        version=base["pipeline_version"],
        licence=base["licence"],
    )


def _calibration_text(calibration: Calibration | None) -> str:
    if calibration is None:
        return UNCALIBRATED
    rows = [
        f"| {entry['min_chunks']} | {entry['viral']:,} | {entry['nonviral']:,} | "
        f"{_number(entry.get('ece_raw'))} | {_number(entry.get('ece_held_out'))} |"
        for entry in calibration.measured["bins"]
    ]
    return CALIBRATED.format(method=calibration.measured["method"], rows="\n".join(rows))


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
