"""What do others reach on the same frames, GPU and minute? ESM-2 with random weights.

    fair-esm fp32       what the original runs: batches of 2,048 padded tokens, float32
    transformers fp16   eager, padded batches of 96 sequences sorted by length, float16
    transformers fp16 compiled   the same, torch.compile, all padded to one length
    virnucpro fp16      our engine
    products fp16       the matrix products of the model alone (cuBLAS)

They take turns, --seconds each, twice; rates count real tokens, not padding.

    python bench/peers.py --frames X.frames.faa --size 3B
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from encoders import frames, parser_of, random_esm2, write_result
from engine_rate import linears, prepare
from oracles import fair_esm, transformers_module
from torch import Tensor

from virnucpro.engine.device import fix_numerics
from virnucpro.engine.memory import token_budget
from virnucpro.models.fused import FusedESM2
from virnucpro.models.tokenizers import EsmTokenizer

ORIGINAL_BUDGET = 2048
TOGETHER = 96
PAD = 1
Step = Callable[[], int]  # runs a batch, returns its real tokens


def main() -> None:
    """Parse, measure, report."""
    parser = parser_of(__doc__)
    parser.add_argument("--frames", type=Path, required=True)
    parser.add_argument("--size", default="3B")
    parser.add_argument("--seconds", type=float, default=8)
    args = parser.parse_args()
    device = torch.device("cuda")
    fix_numerics()
    sequences = frames(args.frames)
    with torch.inference_mode():
        steps = make_steps(args.size, sequences, device)
        rates: dict[str, list[int]] = {name: [] for name in steps}
        for _ in range(2):
            for name, step in steps.items():
                rates[name].append(round(rate(step, args.seconds)))
    for name, values in rates.items():
        print(f"{name:30}{values[0]:>10}{values[1]:>10} tokens/s")
    result = {"what": f"esm2-{args.size}, real tokens/s, two rounds of {args.seconds} s each",
              "rates": rates}  # fmt: skip
    write_result(f"peers_esm2-{args.size}", result, args, device, __doc__)


def make_steps(size: str, sequences: list[str], device: torch.device) -> dict[str, Step]:
    """Return what is measured, by name."""
    exact = random_esm2(size, device, torch.float32)
    tokenizer = EsmTokenizer(exact.config.alphabet)
    original = fair_esm(exact, device)
    tokens = tokenizer.encode(sequences[:4000])
    longest = max(len(ids) for ids in tokens)
    small = padded_batches(tokens, ORIGINAL_BUDGET // longest, device)
    half = random_esm2(size, device, torch.float16)
    half.attention = "triton"
    weights = linears(half)
    fused = FusedESM2(half)
    budget = token_budget(half, "fp16", device)
    ready, logical = prepare(tokenizer, sequences, budget, device)
    peer = transformers_module(half, device)
    compiled = torch.compile(transformers_module(half, device))
    large = padded_batches(tokens, TOGETHER, device)
    fixed = padded_batches(tokens, TOGETHER, device, length=longest)
    widths = {weight.shape[1] for weight, _ in weights}
    inputs = {width: torch.randn(budget, width, device=device).half() for width in widths}

    def engine(batch: tuple) -> int:
        ids, packed, real = batch
        fused.pool(fused(ids, packed), packed)
        return real

    def products(batch: tuple) -> int:
        for weight, bias in weights:
            F.linear(inputs[weight.shape[1]], weight, bias)
        return round(budget * logical)

    def others(run: Callable[[Tensor], Tensor]) -> Callable[[tuple], int]:
        def step(batch: tuple) -> int:
            ids, real = batch
            run(ids)
            return real

        return step

    def eager(ids: Tensor) -> Tensor:
        return peer(ids, (ids != PAD).long()).last_hidden_state

    def graph(ids: Tensor) -> Tensor:
        return compiled(ids, (ids != PAD).long()).last_hidden_state

    return {
        "fair-esm fp32": cycle(others(original), small),
        "transformers fp16": cycle(others(eager), large),
        "transformers fp16 compiled": cycle(others(graph), fixed),
        "virnucpro fp16": cycle(engine, ready),
        "products fp16": cycle(products, ready),
    }


def padded_batches(
    tokens: list[np.ndarray], together: int, device: torch.device, length: int | None = None
) -> list[tuple[Tensor, int]]:
    """Return padded ids int64 [N, L] of sequences sorted by length, and their real tokens."""
    order = sorted(tokens, key=len)
    batches = []
    for start in range(0, len(order) - together + 1, together):
        part = order[start : start + together]
        ids = np.full((len(part), length or len(part[-1])), PAD, np.int64)
        for row, one in zip(ids, part, strict=True):
            row[: len(one)] = one
        batches.append((torch.from_numpy(ids).to(device), sum(map(len, part))))
    return batches


def cycle(step: Callable[[tuple], int], batches: list) -> Step:
    """Return a step that takes the next batch at each call."""
    at = iter(range(1_000_000_000))
    return lambda: step(batches[next(at) % len(batches)])


def rate(step: Step, seconds: float) -> float:
    """Return real tokens a second, after three steps to warm up."""
    for _ in range(3):
        step()
    torch.cuda.synchronize()
    start, real = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        real += step() + step()
        torch.cuda.synchronize()
    return real / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
