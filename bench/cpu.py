"""ESM-2 on a CPU: our engine beside transformers, float32 on both sides, taking turns.

Frames of one length (the commonest of the first frame file), and a mixture: in equal parts frames
of each file and stretches between stop codons that --frame_rule longest_open finds in the demo's
contigs. transformers gets padded batches of sequences sorted by length, of as many tokens as ours
have, and all threads inside one batch, which is how it is run; ours computes a batch a thread.
Each round runs both, one after the other; the ratio is the median of the rounds' ratios, so that
load from elsewhere, which the result states, hits both alike. Rates count real tokens.

    python bench/cpu.py --frames R500.frames.faa R300.frames.faa --size 8M --threads 2
"""

import argparse
import copy
import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dnaio
import numpy as np
import torch
from encoders import ROOT, frames, parser_of, random_esm2, write_result
from oracles import transformers_module

from virnucpro.engine.embed import embed
from virnucpro.engine.memory import CPU_TOKEN_BUDGET
from virnucpro.models.esm2 import ESM2
from virnucpro.models.in_place import InPlaceESM2
from virnucpro.models.tokenizers import EsmTokenizer
from virnucpro.sequences.chunking import chunk_coordinates
from virnucpro.sequences.translation import MIN_RESIDUES, translate_chunks

PAD = 1
PIECES_BP = (500, 300)


def main() -> None:
    """Parse, measure, report."""
    parser = parser_of(__doc__)
    parser.add_argument("--frames", type=Path, nargs="+", required=True)
    parser.add_argument("--size", default="8M")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--count", type=int, default=300, help="frames of each set")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device = torch.device("cpu")
    model = random_esm2(args.size, device, torch.float32)
    peer = transformers_module(copy.deepcopy(model), device)
    engine = InPlaceESM2(model)
    rows = {}
    for name, sequences in sets(args).items():
        rows[name] = compare(engine, peer, sequences, args)
        print(f"{name:12}", rows[name], flush=True)
    result = {"what": f"esm2-{args.size} on a CPU, fp32, {args.threads} threads, real tokens/s",
              "rows": rows}  # fmt: skip
    write_result("cpu", result, args, device, __doc__)


def sets(args: argparse.Namespace) -> dict[str, list[str]]:
    """Return the sequences to embed, none twice."""
    files = [frames(path, args.count) for path in args.frames]
    lengths = Counter(map(len, files[0]))
    most = lengths.most_common(1)[0][0]
    parts = [*files, pieces()]
    share = args.count // len(parts)
    draw = np.random.default_rng(0)
    mixture = [part[i] for part in parts for i in draw.permutation(len(part))[:share]]
    return {
        "one length": list(dict.fromkeys(s for s in files[0] if len(s) == most)),
        "mixture": [mixture[i] for i in draw.permutation(len(mixture))],
    }


def pieces() -> list[str]:
    """Return the distinct stretches that longest_open finds where no frame is open."""
    proteins = []
    for path in sorted((ROOT / "assets" / "demo").glob("contigs_?.fa.gz")):
        with dnaio.open(path) as records:
            contigs = [record.sequence for record in records]
        for chunk_bp in PIECES_BP:
            chunks = [c[a:b] for c in contigs for a, b in chunk_coordinates(len(c), chunk_bp)]
            names = [""] * len(chunks)
            opened = translate_chunks(names, chunks, None)
            longest = translate_chunks(names, chunks, MIN_RESIDUES)
            proteins += [
                frame.protein
                for before, after in zip(opened, longest, strict=True)
                if not before.frames
                for frame in after.frames
            ]
    return list(dict.fromkeys(proteins))


def compare(
    engine: InPlaceESM2, peer: torch.nn.Module, sequences: list[str], args: argparse.Namespace
) -> dict[str, Any]:
    """Return the rates of both, taking turns after a warm-up, and the ratio of each round."""
    works: dict[str, Callable[[], None]] = {
        "virnucpro": lambda: ours(engine, sequences, args.threads),
        "transformers": lambda: theirs(peer, engine.encoder, sequences),
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    load = []
    for _ in range(args.rounds + 1):
        load.append(round(os.getloadavg()[0], 2))
        for name, work in works.items():
            start = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - start)
    tokens = sum(len(s) + 2 for s in sequences)
    ratios = np.array(times["transformers"][1:]) / times["virnucpro"][1:]
    return {
        **{name: round(tokens / float(np.median(values[1:]))) for name, values in times.items()},
        "ratio": round(float(np.median(ratios)), 3),
        "ratio_of_rounds": np.round(ratios, 3).tolist(),
        "load_of_rounds": load[1:],  # of the machine, this process included
        "sequences": len(sequences),
        "tokens": tokens,
    }


def ours(engine: InPlaceESM2, sequences: list[str], threads: int) -> None:
    """Embed with our engine."""
    tokenizer = EsmTokenizer(engine.encoder.config.alphabet)
    embed(engine, tokenizer, sequences, CPU_TOKEN_BUDGET, threads=threads)


@torch.inference_mode()
def theirs(peer: torch.nn.Module, model: ESM2, sequences: list[str]) -> None:
    """Embed with transformers, padded batches sorted by length."""
    tokens = sorted(EsmTokenizer(model.config.alphabet).encode(sequences), key=len)
    start = 0
    while start < len(tokens):
        count = 1
        while (
            start + count < len(tokens)
            and (count + 1) * len(tokens[start + count]) <= CPU_TOKEN_BUDGET
        ):
            count += 1
        part = tokens[start : start + count]
        ids = np.full((count, len(part[-1])), PAD, np.int64)
        for row, one in zip(ids, part, strict=True):
            row[: len(one)] = one
        batch = torch.from_numpy(ids)
        mask = (batch != PAD).long()
        hidden = peer(batch, mask).last_hidden_state
        weights = mask[..., None].float()
        (hidden * weights).sum(1) / weights.sum(1)
        start += count


if __name__ == "__main__":
    main()
