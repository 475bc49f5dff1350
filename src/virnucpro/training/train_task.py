"""TRAIN_CLASSIFIER: the frames of train and val become a classifier, its history and a note."""

import json
from dataclasses import asdict, astuple, dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch

from virnucpro.files import atomic_write, write_text
from virnucpro.scoring.classifier import save_classifier
from virnucpro.training.chunk_table import DROPPED, read_chunk_table, write_table
from virnucpro.training.classifier_training import RECIPES, Epoch, train_classifier
from virnucpro.training.examples import Examples, Vectors, read_examples

HISTORY_HEADER = tuple(field.name for field in fields(Epoch))


@dataclass(frozen=True)
class TrainingInputs:
    """What to train.

    Attributes:
        table: of the chunks; vectors: of the shards of train and val.
        trainer: name of a recipe; max_epochs: instead of the recipe's, or None.
        seed, threads: as train_classifier.
        balance: "label" or "class": what weighs the same.
        training_frames: "all" or "coding": those to learn from. Val keeps all of its frames, as
            prediction scores all.
    """

    table: Path
    vectors: Vectors
    trainer: str
    seed: int
    threads: int
    balance: str
    training_frames: str
    max_epochs: int | None = None


def train(inputs: TrainingInputs, out: Path) -> None:
    """Write classifier.safetensors, history.tsv and training.json into a folder."""
    recipe = RECIPES[inputs.trainer]
    if inputs.max_epochs is not None:
        recipe = replace(recipe, max_epochs=inputs.max_epochs)
    coding_only = inputs.training_frames == "coding"
    learn = read_examples(inputs.table, inputs.vectors, "train", coding_only=coding_only)
    val = read_examples(inputs.table, inputs.vectors, "val")
    trained = train_classifier(
        learn, val, recipe, inputs.seed, inputs.threads, by_class=inputs.balance == "class"
    )
    note = {
        **{key: getattr(inputs, key) for key in
           ("trainer", "seed", "threads", "balance", "training_frames")},
        **_counts(inputs.table, learn, val),
        "criterion": {"auroc": "chunk AUROC", "loss": "loss"}[recipe.criterion],
        "epochs": len(trained.history),
        "best_epoch": trained.best.epoch,
        "val": asdict(trained.best),
        "recipe": asdict(recipe),
        "torch": torch.__version__,
    }  # fmt: skip
    with atomic_write(out / "classifier.safetensors") as temporary:
        save_classifier(temporary, trained.tensors)
    write_table(out / "history.tsv", HISTORY_HEADER, map(astuple, trained.history))
    write_text(out / "training.json", json.dumps(note, indent=2) + "\n")


def _counts(table: Path, learn: Examples, val: Examples) -> dict[str, int]:
    num_viral = int(np.sum(learn.labels))
    return {
        "train_chunks": len(learn.rows),
        "train_viral": num_viral,
        "train_nonviral": len(learn.rows) - num_viral,
        "train_frames": len(learn.chunk),
        "val_chunks": len(val.rows),
        "dropped": sum(row.part == DROPPED for row in read_chunk_table(table)),
    }
