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
from virnucpro.compact.network import Network
from virnucpro.compact.recipe import RECIPE, CompactRecipe
from virnucpro.compact.sources import Source, read_sources
from virnucpro.compact.stored_set import load_set
from virnucpro.compact.trainer import Trainer
from virnucpro.compact.windows import field_weights, training_windows, validation_windows
from virnucpro.compact.write_set import write_set
from virnucpro.engine.device import choose_device, fix_numerics
from virnucpro.errors import InputError
from virnucpro.model_sets.description import read_model_set
from virnucpro.models.options import DEVICES
from virnucpro.models.tokenizers import BpeTokenizer, EsmTokenizer
from virnucpro.training.measures import auroc

TOKENIZER = Path(__file__).resolve().parents[1] / "models/compact-500/tokenizer.json"
LENGTHS_BP = (150, 200, 300, 500, 1000)  # of windows, that the card has figures for
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
    parser.add_argument("--device", choices=DEVICES, default="auto")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="that translate")
    return parser.parse_args(argv)


def train_and_write(args: argparse.Namespace) -> None:
    """Do what the options say; a run that was cut off continues from its checkpoint.

    Two networks are trained: one without the validation sequences, which is measured, then one with
    them, which stays.
    """
    start = time.monotonic()
    device = choose_device(args.device)
    fix_numerics()
    options = {
        "steps": args.steps,
        "windows": args.windows,
        "window_shares": tuple(args.window_shares) if args.window_shares else None,
    }
    recipe = replace(RECIPE, **{k: v for k, v in options.items() if v is not None})
    sources = read_sources(args.data)
    lengths_bp = sorted({*LENGTHS_BP, args.chunk_length})
    validation = {bp: frames_of(validation_windows(sources, bp)) for bp in lengths_bp}
    tokenizers = BpeTokenizer(TOKENIZER), EsmTokenizer(recipe.esm2.alphabet)
    val = FramePool(validation[args.chunk_length], *tokenizers, device)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    every = [replace(source, split="train") for source in sources]
    checkpoints = [_checkpoint(args, recipe, learnt) for learnt in (sources, every)]
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
    rules = measured["by_length"][str(args.chunk_length)]
    log.info(
        "wrote %s after %.0f s: AUROC of chunks with an open frame %.4f, of all %.4f, weighted as "
        "in the field %.4f, of sequences %.4f", args.out, time.monotonic() - start,
        rules["open"]["auroc"], rules["longest_open"]["auroc_every_chunk"],
        rules["longest_open"]["auroc_field"], rules["longest_open"]["auroc_sequences"],
    )  # fmt: skip


def _train(
    sources: list[Source],
    val: FramePool | None,
    checkpoint: Path,
    recipe: CompactRecipe,
    tokenizers: tuple[BpeTokenizer, EsmTokenizer],
    args: argparse.Namespace,
    device: torch.device,
) -> tuple[Network, FramePool]:
    """Return a network, measured on `val` on the way, and what it was trained on."""
    start = time.monotonic()
    lengths_bp = tuple(round(share * args.chunk_length) for share in recipe.window_shares)
    windows = training_windows(sources, lengths_bp, recipe.windows, args.seed)
    train = FramePool(frames_of(windows, args.processes), *tokenizers, device)
    teacher = _teacher_scores(args.teacher, train.frames, device) if args.teacher else None
    log.info("%d frames ready after %.0f s", len(train), time.monotonic() - start)
    trainer = Trainer(recipe, train, val, args.seed, device, checkpoint, teacher)
    trainer.run()
    return trainer.network, train


def _checkpoint(args: argparse.Namespace, recipe: CompactRecipe, sources: list[Source]) -> Path:
    """Return the file that a run which was cut off continues from; any other run has another."""
    teacher = read_model_set(args.teacher).digest if args.teacher else None
    digest = hashlib.sha256(repr((recipe, args.chunk_length, args.seed, teacher)).encode())
    for source in sources:
        digest.update(repr(source).encode())
    return args.out.with_name(f".{args.out.name}-{digest.hexdigest()[:16]}.checkpoint")


def _teacher_scores(folder: Path, frames: Frames, device: torch.device) -> NDArray[np.float32]:
    precision = "fp16" if device.type == "cuda" else "fp32"
    return load_set(read_model_set(folder), device, precision).scores(frames)[:, 1]


def _run(args: argparse.Namespace, recipe: CompactRecipe, device: torch.device) -> dict[str, Any]:
    return {
        "bagging_fraction": recipe.bagging_fraction,
        "command": f"tools/train_compact.py --chunk-length {args.chunk_length} --window-shares "
        f"{recipe.window_shares[0]} {recipe.window_shares[1]} --windows {recipe.windows} "
        f"--steps {recipe.steps} --seed {args.seed}",
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "CPU",
        "embedding_members": recipe.embedding_members,
        "members": recipe.members,
        "seed": args.seed,
        "steps": recipe.steps,
        "teacher": args.teacher.name if args.teacher else None,
        "torch": str(torch.__version__),
        "windows": recipe.windows,
        "window_shares": recipe.window_shares,
    }


def _data(sources: list[Source], split: str) -> dict[str, Any]:
    of_split = [source for source in sources if source.split == split]
    kinds: Counter[str] = Counter()
    licences: Counter[str] = Counter()
    for source in of_split:
        kinds[source.kind] += len(source.sequence)
        licences[source.licence] += len(source.sequence)
    return {"sequences": len(of_split), "bp": kinds.total(), "kinds": kinds, "licences": licences}


def _baselines(train: FramePool, val: FramePool, device: torch.device) -> dict[str, Any]:
    """Return AUROCs of linear models: on composition features of frames, on 5-mers of windows."""
    rng = np.random.default_rng(0)
    train_windows, val_windows = train.frames.windows, val.frames.windows
    rows = np.sort(rng.permutation(len(train))[:BASELINE_WINDOWS])
    of_frames = linear_scores(
        train.composition.cpu().numpy()[rows],
        train_windows.labels[train.frames.window][rows],
        val.composition.cpu().numpy(),
        device,
    )
    linear = window_scores(val.frames, of_frames)

    chosen = np.sort(rng.permutation(len(train_windows.labels))[:BASELINE_WINDOWS])
    kmers = linear_scores(
        kmer_shares([train_windows.sequences[i] for i in chosen]),
        train_windows.labels[chosen],
        kmer_shares(val_windows.sequences),
        device,
    )
    weights = field_weights(val_windows)
    baselines: dict[str, Any] = {
        name: {
            "all": auroc(val_windows.labels, scores),
            "field": auroc(val_windows.labels, scores, weights),
        }
        for name, scores in (("linear", linear), ("5-mers", kmers))
    }
    return baselines | {"rows": len(rows)}


if __name__ == "__main__":
    sys.exit(main())
