#!/usr/bin/env python3
"""Train a compact model set on labelled sequences and write it, measured and calibrated."""

import argparse
import hashlib
import logging
import os
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from virnucpro.compact.baselines import kmer_shares, linear_scores
from virnucpro.compact.frame_pool import FramePool, Frames, frames_of, window_scores
from virnucpro.compact.sources import Source, read_sources
from virnucpro.compact.stored_set import load_set
from virnucpro.compact.train import RECIPE, Examples, Network, Recipe, Trainer
from virnucpro.compact.windows import (
    field_weights,
    training_windows,
    validation_windows,
)
from virnucpro.compact.write_set import Validation, write_set
from virnucpro.engine.device import DEVICE_CHOICES, choose_device, fix_numerics
from virnucpro.errors import InputError
from virnucpro.model_sets.description import read_model_set
from virnucpro.models.tokenizers import BpeTokenizer, EsmTokenizer
from virnucpro.training.measures import auroc

TOKENIZER = Path(__file__).resolve().parents[1] / "models/compact-500/tokenizer.json"
LENGTHS_BP = (150, 200, 300, 500, 1000)  # that the card tells of
BASELINE_WINDOWS = 100_000

log = logging.getLogger("train_compact")


def main(argv: list[str] | None = None) -> int:
    """Return the exit status."""
    args = parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    try:
        train_and_write(args)
    except InputError as error:
        print(f"train_compact: error: {error}", file=sys.stderr)
        return 2
    return 0


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", required=True, nargs="+", type=Path,
        help="folders of labelled chunks or of whole sequences (compact/sources.py)",
    )  # fmt: skip
    parser.add_argument("--chunk-length", type=int, default=500, help="bp (default: 500)")
    parser.add_argument("--out", required=True, type=Path, help="folder of the model set")
    parser.add_argument("--teacher", type=Path, help="model set whose scores the set learns")
    parser.add_argument("--steps", type=int, help="default: as the recipe says")
    parser.add_argument("--windows", type=int, help="for training; default: as the recipe says")
    parser.add_argument(
        "--window-shares", nargs=2, type=float, metavar=("SHORTEST", "LONGEST"),
        help="windows for training, as shares of the chunk length; default: as the recipe says",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", choices=DEVICE_CHOICES, default="auto")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="that translate")
    return parser.parse_args(argv)


def train_and_write(args: argparse.Namespace) -> None:
    """Do what the options say; a run that was cut off goes on from its checkpoint.

    Two networks are trained: one without the validation sequences, which is measured, then one with
    them, which stays.
    """
    start = time.monotonic()
    device = choose_device(args.device)
    fix_numerics()
    given = {
        "steps": args.steps,
        "windows": args.windows,
        "window_shares": tuple(args.window_shares) if args.window_shares else None,
    }
    recipe = replace(RECIPE, **{k: v for k, v in given.items() if v is not None})
    sources = read_sources(args.data)
    validation = {}
    for bp in sorted({*LENGTHS_BP, args.chunk_length}):
        windows = validation_windows(sources, bp)
        validation[bp] = Validation(windows, frames_of(windows))
    tokenizers = BpeTokenizer(TOKENIZER), EsmTokenizer(recipe.esm2.alphabet)
    own = validation[args.chunk_length]
    val = Examples(own.windows, FramePool(own.frames, *tokenizers, device))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    every = [replace(source, split="train") for source in sources]
    checkpoints = [_checkpoint(args, recipe, own) for own in (sources, every)]
    network, train = _train(sources, val, checkpoints[0], recipe, tokenizers, args, device)
    baselines = _baselines(train, val, device)
    refitted, _ = _train(every, None, checkpoints[1], recipe, tokenizers, args, device)
    run = _run(args, recipe, device) | {
        "data": {split: _data(sources, split) for split in ("train", "val")},
        "baselines": baselines,
    }
    measured = write_set(args.out, args.chunk_length, network, refitted, TOKENIZER, validation, run)
    for checkpoint in checkpoints:
        checkpoint.unlink(missing_ok=True)
    found = measured["by_length"][str(args.chunk_length)]
    log.info(
        "wrote %s after %.0f s: AUROC of chunks with an open frame %.4f, of all %.4f, weighted as "
        "in the field %.4f, of sequences %.4f", args.out, time.monotonic() - start,
        found["open"]["auroc"], found["longest_open"]["auroc_every_chunk"],
        found["longest_open"]["auroc_field"], found["longest_open"]["auroc_sequences"],
    )  # fmt: skip


def _train(
    sources: list[Source],
    val: Examples | None,
    checkpoint: Path,
    recipe: Recipe,
    tokenizers: tuple[BpeTokenizer, EsmTokenizer],
    args: argparse.Namespace,
    device: torch.device,
) -> tuple[Network, Examples]:
    """Return a network, measured on `val` on the way, and what it was trained on."""
    start = time.monotonic()
    lengths_bp = tuple(round(share * args.chunk_length) for share in recipe.window_shares)
    windows = training_windows(sources, lengths_bp, recipe.windows, args.seed)
    train = Examples(windows, FramePool(frames_of(windows, args.processes), *tokenizers, device))
    teacher = _teacher_scores(args.teacher, train.pool.frames, device) if args.teacher else None
    log.info("%d frames ready after %.0f s", len(train.pool), time.monotonic() - start)
    trainer = Trainer(recipe, train, val, args.seed, device, checkpoint, teacher)
    trainer.run()
    return trainer.network, train


def _checkpoint(args: argparse.Namespace, recipe: Recipe, sources: list[Source]) -> Path:
    """Return the file that a run which was cut off goes on from; any other run has another."""
    teacher = read_model_set(args.teacher).digest if args.teacher else None
    digest = hashlib.sha256(repr((recipe, args.chunk_length, args.seed, teacher)).encode())
    for source in sources:
        digest.update(repr(source).encode())
    return args.out.with_name(f".{args.out.name}-{digest.hexdigest()[:16]}.checkpoint")


def _teacher_scores(folder: Path, frames: Frames, device: torch.device) -> NDArray[np.float32]:
    precision = "fp16" if device.type == "cuda" else "fp32"
    return load_set(read_model_set(folder), device, precision).scores(frames)[:, 1]


def _run(args: argparse.Namespace, recipe: Recipe, device: torch.device) -> dict[str, Any]:
    return {
        "command": f"tools/train_compact.py --chunk-length {args.chunk_length} --window-shares "
        f"{recipe.window_shares[0]} {recipe.window_shares[1]} --windows {recipe.windows} "
        f"--steps {recipe.steps} --seed {args.seed}",
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "CPU",
        "embedding_members": recipe.embedding_members,
        "members": recipe.members,
        "seed": args.seed,
        "steps": recipe.steps,
        "taught_share": recipe.taught_share,
        "teacher": args.teacher.name if args.teacher else None,
        "torch": str(torch.__version__),
        "windows": recipe.windows,
        "window_shares": recipe.window_shares,
    }


def _data(sources: list[Source], split: str) -> dict[str, Any]:
    own = [source for source in sources if source.split == split]
    kinds: Counter[str] = Counter()
    licences: Counter[str] = Counter()
    for source in own:
        kinds[source.kind] += len(source.sequence)
        licences[source.licence] += len(source.sequence)
    return {"sequences": len(own), "bp": kinds.total(), "kinds": kinds, "licences": licences}


def _baselines(train: Examples, val: Examples, device: torch.device) -> dict[str, Any]:
    """Return AUROCs of the linear model on counts of frames, and of that on 5-mers of windows."""
    rng = np.random.default_rng(0)
    rows = np.sort(rng.permutation(len(train.pool))[:BASELINE_WINDOWS])
    labels = train.windows.labels[train.pool.frames.window]
    of_frames = linear_scores(
        train.pool.counts.cpu().numpy()[rows], labels[rows], val.pool.counts.cpu().numpy(), device
    )
    linear = window_scores(val.pool.frames, of_frames)

    chosen = np.sort(rng.permutation(len(train.windows.labels))[:BASELINE_WINDOWS])
    kmers = linear_scores(
        kmer_shares([train.windows.sequences[i] for i in chosen]),
        train.windows.labels[chosen],
        kmer_shares(val.windows.sequences),
        device,
    )
    weights = field_weights(val.windows)
    found: dict[str, Any] = {
        name: {
            "all": auroc(val.windows.labels, scores),
            "field": auroc(val.windows.labels, scores, weights),
        }
        for name, scores in (("linear", linear), ("5-mers", kmers))
    }
    return found | {"rows": len(rows)}


if __name__ == "__main__":
    sys.exit(main())
