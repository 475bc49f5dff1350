"""How exact is each precision? Compared with the authors' own code in float32.

ESM-2 with random weights of a published size on real frames: fair-esm's forward in float32 is the
truth. For comparison, "plain half" is transformers' forward in float16, sequences of one length
together, which a user would run. Cosines are given raw and after the mean of all vectors
is taken away, since vectors of one model share a large part. Flips: labels that change, through a
linear classifier of the vectors whose scores spread like those of a trained one, counted outside
+-0.01 of the tie.

    python bench/precision.py --frames X.frames.faa --size 3B
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from encoders import frames, parser_of, random_esm2, write_result
from oracles import Hidden, fair_esm, transformers_module
from torch import Tensor

from virnucpro.engine.device import fix_numerics
from virnucpro.engine.embed import embed
from virnucpro.engine.memory import token_budget
from virnucpro.model_diagnostics.parity import score_measures, vector_measures
from virnucpro.models.esm2 import ESM2
from virnucpro.models.fused import FusedESM2
from virnucpro.models.fused_fp8 import FusedESM2Fp8
from virnucpro.models.tokenizers import EsmTokenizer


def main() -> None:
    """Parse, measure, report."""
    parser = parser_of(__doc__)
    parser.add_argument("--frames", type=Path, required=True)
    parser.add_argument("--size", default="3B")
    parser.add_argument("--count", type=int, default=2000)
    args = parser.parse_args()
    device = torch.device("cuda")
    fix_numerics()
    sequences = frames(args.frames, args.count)
    exact = random_esm2(args.size, device, torch.float32)
    truth = by_length(fair_esm(exact, device), exact, sequences, device)
    rows = {"fp32": measures(embed_as(exact, sequences, "fp32"), truth)}
    fix_numerics(tf32=True)
    rows["tf32"] = measures(embed_as(exact, sequences, "tf32"), truth)
    fix_numerics()
    half = exact.half()
    rows["plain half"] = measures(plain_half(half, sequences, device), truth)
    for precision in ("fp16", "fp8"):
        rows[precision] = measures(embed_as(half, sequences, precision), truth)
    del half, exact
    brain = random_esm2(args.size, device, torch.float32).bfloat16()
    rows["bf16"] = measures(embed_as(brain, sequences, "bf16"), truth)
    print(f"{'':12}{'cosine min':>12}{'mean':>12}{'centred min':>13}{'mean':>12}{'max abs':>10}"
          f"{'rms':>10}{'score':>8}{'flips':>6}")  # fmt: skip
    for name, row in rows.items():
        print(f"{name:12}{row['cosine_min']:12.7f}{row['cosine_mean']:12.7f}"
              f"{row['centred_cosine_min']:13.6f}{row['centred_cosine_mean']:12.6f}"
              f"{row['max_abs']:10.2e}{row['rms']:10.2e}{row['score_max_abs']:8.4f}"
              f"{row['flips_outside_tie']:6d}")  # fmt: skip
    result = {"what": f"esm2-{args.size}, random weights, {len(sequences)} frames against fair-esm",
              "rows": rows}  # fmt: skip
    write_result(f"precision_esm2-{args.size}", result, args, device, __doc__)


def embed_as(model: ESM2, sequences: list[str], precision: str) -> np.ndarray:
    """Return our vectors float32 [n, D]."""
    device = next(model.parameters()).device
    is_half = precision in ("fp16", "bf16", "fp8")
    model.attention = "triton" if is_half else "sdpa"
    runner: Any = (FusedESM2Fp8 if precision == "fp8" else FusedESM2)(model) if is_half else model
    budget = token_budget(model, precision, device)
    tokenizer = EsmTokenizer(model.config.alphabet)
    return embed(runner, tokenizer, sequences, budget, exact=no_overflow).vectors


def no_overflow() -> Any:
    """Random weights give small numbers: a vector that overflows is an error."""
    raise AssertionError("a vector overflowed")


def plain_half(half: ESM2, sequences: list[str], device: torch.device) -> np.ndarray:
    """Return the vectors of transformers' forward in float16."""
    peer = transformers_module(half, device)

    def hidden(ids: Tensor) -> Tensor:
        return peer(ids, torch.ones_like(ids)).last_hidden_state

    return by_length(hidden, half, sequences, device)


def by_length(
    hidden: Hidden, model: ESM2, sequences: list[str], device: torch.device, together: int = 32
) -> np.ndarray:
    """Return float32 [n, D] means over residues, without padding."""
    tokens = EsmTokenizer(model.config.alphabet).encode(sequences)
    vectors = np.empty((len(tokens), model.config.width), np.float32)
    order = sorted(range(len(tokens)), key=lambda i: len(tokens[i]))
    start = 0
    with torch.inference_mode():
        while start < len(order):
            length = len(tokens[order[start]])
            rows = [i for i in order[start : start + together] if len(tokens[i]) == length]
            ids = torch.from_numpy(np.stack([tokens[i] for i in rows])).long().to(device)
            vectors[rows] = hidden(ids)[:, 1:-1].float().mean(1).cpu().numpy()
            start += len(rows)
    return vectors


def measures(vectors: np.ndarray, truth: np.ndarray) -> dict[str, float | int]:
    """Return how far vectors [n, D] are from the truth."""
    return vector_measures(vectors, truth) | score_measures(
        scores(vectors, truth), scores(truth, truth)
    )


def scores(vectors: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return P(virus) [n] of a random direction; logits of the truth have deviation 3."""
    direction = np.random.default_rng(0).normal(size=truth.shape[1])
    logits = (truth - truth.mean(0)) @ direction
    return 1 / (1 + np.exp(-3 * ((vectors - truth.mean(0)) @ direction) / logits.std()))


if __name__ == "__main__":
    main()
