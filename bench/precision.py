"""What does each precision cost in exactness? Against the authors' own code in float32.

ESM-2 with random weights of a published size on real frames: fair-esm's forward in float32 is the
truth. Beside our precisions stands "plain half": transformers' forward in float16 on one sequence
at a time, what a user would run. Cosines are given raw and after the mean of all vectors is taken
away, since vectors of one model share a large part. Flips: labels that change, through a linear
classifier of the vectors whose scores spread like those of a trained one, counted outside +-0.01
of the tie.

    python bench/precision.py --frames X.frames.faa --size 3B
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from encoders import RESULTS, frames, random_esm2, versions, write_result

from virnucpro.engine import device as devices
from virnucpro.engine.embed import embed
from virnucpro.engine.official import published_state, transformers_state
from virnucpro.models.esm2 import ESM2
from virnucpro.models.fused import FusedESM2
from virnucpro.models.fused_fp8 import FusedESM2Fp8
from virnucpro.models.tokenizers import EsmTokenizer

TIE = 0.01


def main() -> None:
    """Parse, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=Path, required=True)
    parser.add_argument("--size", default="3B")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    device = torch.device("cuda")
    devices.fix_numerics()
    sequences = frames(args.frames, args.count)
    exact = random_esm2(args.size, device, torch.float32)
    truth = fair_esm(exact, sequences, device)
    rows = {"fp32": measures(embed_as(exact, sequences, "fp32"), truth)}
    devices.fix_numerics(tf32=True)
    rows["tf32"] = measures(embed_as(exact, sequences, "tf32"), truth)
    devices.fix_numerics()
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
              "rows": rows, "versions": versions(device)}  # fmt: skip
    write_result(f"precision_esm2-{args.size}", result, args.out)


def embed_as(model: ESM2, sequences: list[str], precision: str) -> np.ndarray:
    """Return our vectors float32 [n, D]."""
    device = next(model.parameters()).device
    is_half = precision in ("fp16", "bf16", "fp8")
    model.attention = "triton" if is_half else "sdpa"
    runner: Any = (FusedESM2Fp8 if precision == "fp8" else FusedESM2)(model) if is_half else model
    budget = devices.token_budget(model, precision, device)
    return embed(runner, EsmTokenizer(model.config.alphabet), sequences, budget).vectors


def fair_esm(model: ESM2, sequences: list[str], device: torch.device) -> np.ndarray:
    """Return the vectors of fair-esm's forward, sequences of one length together."""
    from esm.model.esm2 import ESM2 as FairEsm2

    config = model.config
    with torch.device("meta"):
        oracle = FairEsm2(config.layers, config.width, config.heads)
    state = {k: v for k, v in published_state(model).items()}
    heads = {
        k: torch.zeros_like(v, device=device)
        for k, v in oracle.state_dict().items()
        if k not in state
    }
    for name in heads:
        if name.endswith("inv_freq"):
            dim = config.width // config.heads
            heads[name] = 1 / 10000 ** (torch.arange(0, dim, 2, device=device).float() / dim)
    oracle.load_state_dict(state | heads, assign=True)
    oracle.eval()

    def hidden(ids: torch.Tensor) -> torch.Tensor:
        return oracle(ids, repr_layers=[config.layers])["representations"][config.layers]

    return by_length(hidden, model, sequences, device, together=32)


def plain_half(model: ESM2, sequences: list[str], device: torch.device) -> np.ndarray:
    """Return the vectors of transformers' forward in float16."""
    import transformers

    config, alphabet = model.config, model.config.alphabet
    with torch.device("meta"):
        peer = transformers.EsmModel(
            transformers.EsmConfig(
                vocab_size=len(alphabet), mask_token_id=alphabet.index("<mask>"),
                pad_token_id=alphabet.index("<pad>"), hidden_size=config.width,
                num_hidden_layers=config.layers, num_attention_heads=config.heads,
                intermediate_size=4 * config.width, position_embedding_type="rotary",
                token_dropout=True, emb_layer_norm_before=False,
            ),
            add_pooling_layer=False,
        )  # fmt: skip
    peer = peer.half().to_empty(device=device)
    for module in peer.modules():  # the buffers that to_empty lost
        if hasattr(module, "inv_freq"):
            dim = config.width // config.heads
            module.inv_freq = 1 / 10000 ** (torch.arange(0, dim, 2, device=device).float() / dim)
    lost = peer.load_state_dict(transformers_state(model), strict=False)
    assert not lost.unexpected_keys, lost
    peer.eval()
    return by_length(
        lambda ids: peer(ids, torch.ones_like(ids)).last_hidden_state, model, sequences, device, 32
    )


def by_length(hidden: Any, model: ESM2, sequences: list[str], device: torch.device,
              together: int) -> np.ndarray:  # fmt: skip
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


def measures(found: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Return how far vectors [n, D] are from the truth."""
    mean = truth.mean(0)
    raw, centred = cosines(found, truth), cosines(found - mean, truth - mean)
    p_found, p_truth = scores(found, truth), scores(truth, truth)
    outside = abs(p_truth - 0.5) > TIE
    return {
        "cosine_min": float(raw.min()),
        "cosine_mean": float(raw.mean()),
        "centred_cosine_min": float(centred.min()),
        "centred_cosine_mean": float(centred.mean()),
        "max_abs": float(np.abs(found - truth).max()),
        "rms": float(np.sqrt(np.mean((found - truth) ** 2))),
        "score_max_abs": float(np.abs(p_found - p_truth).max()),
        "flips_outside_tie": int(((p_found > 0.5) != (p_truth > 0.5))[outside].sum()),
    }


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the cosine of each pair of rows."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def scores(vectors: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return P(virus) [n] of a random direction; logits of the truth have deviation 3."""
    direction = np.random.default_rng(0).normal(size=truth.shape[1])
    logits = (truth - truth.mean(0)) @ direction
    return 1 / (1 + np.exp(-3 * ((vectors - truth.mean(0)) @ direction) / logits.std()))


if __name__ == "__main__":
    main()
