"""ESM-2 on a CPU: our engine beside transformers, float32 on both sides, in turns.

Frames of one length, and a mixture of lengths as contigs and reads give them. transformers gets
padded batches of sequences sorted by length, of as many tokens as ours have, and all threads inside
one batch, which is how it is run; ours computes a batch a thread. Rates count real tokens.

    python bench/cpu.py --frames A.frames.faa B.frames.faa --size 8M --threads 2
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from encoders import frames, parser_of, random_esm2, write_result
from oracles import transformers_module

from virnucpro.engine import device as devices
from virnucpro.engine.embed import embed
from virnucpro.models.esm2 import ESM2
from virnucpro.models.tokenizers import EsmTokenizer

PAD = 1


def main() -> None:
    """Parse, measure, report."""
    parser = parser_of(__doc__)
    parser.add_argument("--frames", type=Path, nargs="+", required=True)
    parser.add_argument("--size", default="8M")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--count", type=int, default=600, help="frames of each set")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device = torch.device("cpu")
    model = random_esm2(args.size, device, torch.float32)
    peer = transformers_module(model, device)
    every = [sequence for path in args.frames for sequence in frames(path)]
    draw = np.random.default_rng(0)
    most = max(set(map(len, every)), key=[len(s) for s in every].count)
    sets = {
        "one length": [s for s in every if len(s) == most][: args.count],
        "mixture": [every[i] for i in draw.permutation(len(every))[: args.count]],
    }
    rows = {}
    for name, sequences in sets.items():
        works: dict[str, Callable[[], None]] = {
            "virnucpro": lambda s=sequences: ours(model, s, args.threads),
            "transformers": lambda s=sequences: theirs(peer, model, s),
        }
        tokens = sum(len(s) + 2 for s in sequences)
        times = alternate(works, args.rounds)
        rates = {work: round(tokens / value) for work, value in times.items()}
        rows[name] = {**rates, "ratio": round(times["transformers"] / times["virnucpro"], 3)}
        print(f"{name:12}", rows[name])
    result = {"what": f"esm2-{args.size} on a CPU, fp32, {args.threads} threads, real tokens/s",
              "rows": rows}  # fmt: skip
    write_result(f"cpu_esm2-{args.size}", result, args, device, __doc__)


def alternate(works: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Return the shortest of the times of each work, run in turns after a warm-up."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds + 1):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - start)
    return {name: min(values[1:]) for name, values in times.items()}


def ours(model: ESM2, sequences: list[str], threads: int) -> None:
    """Embed with our engine."""
    tokenizer = EsmTokenizer(model.config.alphabet)
    embed(model, tokenizer, sequences, devices.CPU_TOKEN_BUDGET, threads=threads)


@torch.inference_mode()
def theirs(peer: torch.nn.Module, model: ESM2, sequences: list[str]) -> None:
    """Embed with transformers, padded batches sorted by length."""
    tokens = sorted(EsmTokenizer(model.config.alphabet).encode(sequences), key=len)
    start = 0
    while start < len(tokens):
        count = 1
        while (
            start + count < len(tokens)
            and (count + 1) * len(tokens[start + count]) <= devices.CPU_TOKEN_BUDGET
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
