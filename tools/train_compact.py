#!/usr/bin/env python3
"""Train a compact model set on labelled chunks and write it, measured, to a folder."""

import argparse
import dataclasses
import logging
import sys
import time
from pathlib import Path

import torch

from virnucpro.engine.device import DEVICE_CHOICES, choose_device, fix_numerics
from virnucpro.errors import InputError
from virnucpro.models.tokenizers import BpeTokenizer
from virnucpro.training.compact import RECIPE, Trainer
from virnucpro.training.labelled import read_frames
from virnucpro.training.write_set import write_set

TOKENIZER = Path(__file__).resolve().parents[1] / "models/compact-500/tokenizer.json"

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
    parser.add_argument("--data", required=True, type=Path, help="folder of labelled chunks")
    parser.add_argument("--chunk-length", type=int, default=500, help="bp (default: 500)")
    parser.add_argument("--out", required=True, type=Path, help="folder of the model set")
    parser.add_argument("--steps", type=int, help="default: as the recipe says")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", choices=DEVICE_CHOICES, default="auto")
    return parser.parse_args(argv)


def train_and_write(args: argparse.Namespace) -> None:
    """Do what the options say."""
    start = time.monotonic()
    device = choose_device(args.device)
    fix_numerics()
    recipe = RECIPE if args.steps is None else dataclasses.replace(RECIPE, steps=args.steps)
    train, val = (read_frames(args.data, args.chunk_length, split) for split in ("train", "val"))
    trainer = Trainer(recipe, BpeTokenizer(TOKENIZER), train, val, device, args.seed)
    log.info(
        "%d train and %d val frames ready after %.0f s",
        len(train.dna), len(val.dna), time.monotonic() - start,
    )  # fmt: skip
    best = trainer.run()
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    run = {
        "best_step": best["step"],
        "command": f"tools/train_compact.py --chunk-length {args.chunk_length} "
        f"--steps {recipe.steps} --seed {args.seed}",
        "data": f"labelled/{args.chunk_length}bp, val split by genome cluster",
        "device": name,
        "elapsed_s": round(time.monotonic() - start),
        "seed": args.seed,
        "steps": recipe.steps,
        "torch": str(torch.__version__),
        "val_chunk_auroc_before_storing": best["chunk_auroc"],
    }
    measures = write_set(args.out, args.chunk_length, trainer.network, TOKENIZER, train, val, run)
    log.info(
        "wrote %s after %.0f s: chunk AUROC %.4f (before storing: %.4f), frame AUROC %.4f, "
        "consensus accuracy %.3f, %.3f of chunks with an open frame",
        args.out, time.monotonic() - start, measures.chunk_auroc, best["chunk_auroc"],
        measures.frame_auroc, measures.chunk_accuracy, measures.open_share,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
