"""How close is the engine to its own matrix products? Both take turns in one sustained run.

Batches of real frames are ready on the GPU. A round runs the engine (forward, pooling, vectors to
the host) for about two seconds, then the matrix products of the same model alone (cuBLAS, with
bias, all layers one after the other, the same number of rows) for about two seconds. Rates are
real tokens a second over all rounds after a warm-up; filler is not counted.

    python bench/engine_rate.py --frames X.frames.faa --model esm2-3B --precision fp16
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from encoders import ROOT, frames, parser_of, random_dnabert_s, random_esm2, write_result
from torch import Tensor

from virnucpro.engine import device as devices
from virnucpro.engine.batches import token_batches
from virnucpro.engine.memory import token_budget
from virnucpro.models.fused import FusedDnabertS, FusedESM2
from virnucpro.models.fused_fp8 import FusedESM2Fp8
from virnucpro.models.packing import PackedBatch
from virnucpro.models.tokenizers import BpeTokenizer, EsmTokenizer

ROUND_S = 2.0
Ready = tuple[Tensor, PackedBatch, int]  # ids, batch, real tokens
Linear = tuple[Tensor, Tensor | None]  # weight, bias


def main() -> None:
    """Parse, measure, report."""
    parser = parser_of(__doc__)
    parser.add_argument("--frames", type=Path, required=True)
    parser.add_argument(
        "--tokenizer", type=Path, default=ROOT / "models/compact-500/tokenizer.json"
    )
    parser.add_argument("--model", default="esm2-3B", help="esm2-SIZE or dnabert_s")
    parser.add_argument("--precision", default="fp16", choices=("fp16", "bf16", "fp8"))
    parser.add_argument("--attention", default="triton")
    parser.add_argument("--budget", type=int)
    parser.add_argument("--seconds", type=float, default=60)
    args = parser.parse_args()
    device = torch.device("cuda")
    devices.fix_numerics()
    dtype = devices.DTYPES[args.precision]
    plain, tokenizer = make(args, device, dtype)
    budget = args.budget or token_budget(plain, args.precision, device)
    weights = linears(plain)
    model = fused(plain, args.precision)
    ready, logical = prepare(tokenizer, frames(args.frames), budget, device)
    result = {
        "what": f"{args.model} {args.precision}",
        **rates(model, weights, ready, logical, args.seconds),
        "attention": args.attention,
    }
    name = f"engine_rate_{args.model}_{args.precision}_{round(result['mean_tokens'])}tok"
    write_result(name, result, args, device, __doc__)


def rates(
    model: Any, weights: list[Linear], ready: list[Ready], logical: float, seconds: float
) -> dict[str, Any]:
    """Return what engine and products reach, taking turns.

    Args:
        model: the fused form. weights: of its products.
        logical: share of real tokens among those of the batches.
    """

    def engine(batch: Ready) -> None:
        ids, packed, _ = batch
        model.pool(model(ids, packed), packed).to("cpu", non_blocking=True)

    def products(batch: Ready) -> None:
        for weight, bias in weights:
            F.linear(x[weight.shape[1]], weight, bias)

    with torch.inference_mode():
        torch.cuda.reset_peak_memory_stats()
        for batch in ready[:3]:
            engine(batch)
        torch.cuda.synchronize()
        peak_gib = torch.cuda.max_memory_allocated() / 2**30  # before the inputs of the products
        budget, like = ready[0][0].shape[0], weights[0][0]
        x = {w: torch.randn(budget, w, device=like.device, dtype=like.dtype)
             for w in {weight.shape[1] for weight, _ in weights}}  # fmt: skip
        rate_of, rounds = alternate({"engine": engine, "products": products}, ready, seconds)
    return {
        "tokens_per_s": round(rate_of["engine"]),
        "products_tokens_per_s": round(rate_of["products"] * logical),
        "share_of_products": round(rate_of["engine"] / (rate_of["products"] * logical), 4),
        "fill": round(logical, 4),
        "token_budget": budget,
        "rounds": rounds,
        "mean_tokens": round(mean_tokens(ready), 1),
        "peak_gib": round(peak_gib, 2),
    }


def make(args: argparse.Namespace, device: torch.device, dtype: torch.dtype) -> tuple[Any, Any]:
    """Return a plain model of random weights and its tokenizer."""
    tokenizer: BpeTokenizer | EsmTokenizer
    if args.model == "dnabert_s":
        plain: Any = random_dnabert_s(device, dtype)
        tokenizer = BpeTokenizer(args.tokenizer)
    else:
        plain = random_esm2(args.model.removeprefix("esm2-"), device, dtype)
        tokenizer = EsmTokenizer(plain.config.alphabet)
    plain.attention = args.attention
    return plain, tokenizer


def fused(plain: Any, precision: str) -> Any:
    """Return the form of a model that computes on a GPU."""
    if plain.architecture == "dnabert_s":
        return FusedDnabertS(plain)
    return FusedESM2Fp8(plain) if precision == "fp8" else FusedESM2(plain)


def prepare(
    tokenizer: Any, sequences: list[str], budget: int, device: torch.device
) -> tuple[list[Ready], float]:
    """Return batches on the device, and the share of real tokens among theirs."""
    ready = []
    for batch in token_batches(tokenizer, sequences, budget):
        ids, packed = batch.on_host(tokenizer.filler_id)
        ready.append((ids.to(device), packed.to(device), sum(batch.lengths)))
        if len(ready) == 200:
            break
    ready = ready[:-1] or ready  # the last one may be half empty
    return ready, sum(real for _, _, real in ready) / (budget * len(ready))


def mean_tokens(ready: list[Ready]) -> float:
    """Return the mean length of a sequence."""
    sequences = sum(len(packed.cu_seqlens) - 1 for _, packed, _ in ready)
    return sum(real for _, _, real in ready) / sequences


def alternate(
    works: dict[str, Callable[[Ready], None]], ready: list[Ready], seconds: float
) -> tuple[dict[str, float], int]:
    """Run the works alternately; return the tokens a second of each, and the rounds.

    "products" counts the tokens of the budget, its rows; the others real tokens.
    """
    tokens = dict.fromkeys(works, 0)
    elapsed = dict.fromkeys(works, 0.0)
    counts: dict[str, int] = {}
    for name, work in works.items():  # warm-up, and how many make a round
        for batch in ready[:3]:
            work(batch)
        torch.cuda.synchronize()
        start = time.perf_counter()
        for batch in ready[:3]:
            work(batch)
        torch.cuda.synchronize()
        counts[name] = max(3, int(ROUND_S / ((time.perf_counter() - start) / len(ready[:3]))))
    begin, rounds, at = time.perf_counter(), 0, 0
    while time.perf_counter() - begin < seconds:
        for name, work in works.items():
            chosen = [ready[(at + i) % len(ready)] for i in range(counts[name])]
            at += counts[name]
            torch.cuda.synchronize()
            start = time.perf_counter()
            for batch in chosen:
                work(batch)
            torch.cuda.synchronize()
            elapsed[name] += time.perf_counter() - start
            tokens[name] += sum(b[0].shape[0] if name == "products" else b[2] for b in chosen)
        rounds += 1
    return {name: tokens[name] / elapsed[name] for name in works}, rounds


def linears(model: torch.nn.Module) -> list[Linear]:
    """Return weight and bias of the products, in the order of the forward pass.

    Take them before a fused form is made, which frees those that it has rounded or reordered.
    """
    return [(m.weight, m.bias) for m in model.modules() if isinstance(m, torch.nn.Linear)]


if __name__ == "__main__":
    main()
