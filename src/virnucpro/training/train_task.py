"""TRAIN_CLASSIFIER: the frames of train and val become a classifier, its history and a note."""

from dataclasses import asdict, astuple, fields, replace
from pathlib import Path

import numpy as np
import torch

from virnucpro.files import atomic_write, write_json
from virnucpro.scoring.classifier import save_classifier
from virnucpro.training.chunk_table import DROPPED, read_chunk_table, write_table
from virnucpro.training.classifier_training import RECIPES, Epoch, train_classifier
from virnucpro.training.examples import Examples, Vectors, read_examples


def train(
    table: Path,
    vectors: Vectors,
    trainer: str,
    seed: int,
    threads: int,
    balance: str,
    training_frames: str,
    max_epochs: int | None,
    out: Path,
) -> None:
    """Write classifier.safetensors, history.tsv and training.json into a folder.

    Args:
        table: of the chunks; vectors: of the shards of train and val.
        trainer: name of a recipe; max_epochs: instead of the recipe's, or None.
        seed, threads: as train_classifier.
        balance: "label" or "class": what weighs the same.
        training_frames: "all" or "coding": those to learn from. Val keeps all of its frames, as
            prediction scores all.
    """
    recipe = RECIPES[trainer]
    if max_epochs is not None:
        recipe = replace(recipe, max_epochs=max_epochs)
    learn = read_examples(table, vectors, "train", coding_only=training_frames == "coding")
    val = read_examples(table, vectors, "val")
    trained = train_classifier(learn, val, recipe, seed, threads, by_class=balance == "class")
    note = {
        "trainer": trainer,
        "seed": seed,
        "threads": threads,
        "balance": balance,
        "training_frames": training_frames,
        **_counts(table, learn, val),
        "criterion": {"auroc": "chunk AUROC", "loss": "loss"}[recipe.criterion],
        "epochs": len(trained.history),
        "best_epoch": trained.best.epoch,
        "val": asdict(trained.best),
        "recipe": asdict(recipe),
        "torch": torch.__version__,
    }
    with atomic_write(out / "classifier.safetensors") as temporary:
        save_classifier(temporary, trained.tensors)
    columns = [field.name for field in fields(Epoch)]
    write_table(out / "history.tsv", columns, map(astuple, trained.history))
    write_json(out / "training.json", note)


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
