"""Which rate, memory and loading time has each size of ESM-2, from 8M to 15B? In fp16, on one GPU.

For each size: weights are drawn in float16 on the GPU, written as a component file and freed;
the file is loaded as a task loads it, checksum included, from a warm page cache (load_s); then the
engine and the matrix products of the model take turns as in engine_rate.py. Memory is that of
weights and batches, without the inputs of the products. A size that does not fit says so.

    python bench/sizes.py --frames X.frames.faa --seconds 8
"""

import argparse
import gc
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from encoders import ESM2_SIZES, frames, parser_of, random_esm2, write_result
from engine_rate import linears, prepare, rates

from virnucpro.engine.load import load_engine
from virnucpro.files import file_sha256
from virnucpro.models import esm2
from virnucpro.models.component import write_component
from virnucpro.models.tokenizers import EsmTokenizer

GIB = 1 << 30
HEADROOM_GIB = 8  # for the smallest useful batch and the CUDA context


def main() -> None:
    """Measure size by size; the result file holds what is done so far."""
    parser = parser_of(__doc__)
    parser.add_argument("--frames", type=Path, required=True)
    parser.add_argument("--sizes", nargs="+", choices=ESM2_SIZES, default=list(ESM2_SIZES))
    parser.add_argument("--seconds", type=float, default=8, help="of engine and products, a size")
    parser.add_argument("--work", type=Path, help="folder for the component files (15B: 30 GB)")
    args = parser.parse_args()
    device = torch.device("cuda")
    sequences = frames(args.frames)
    rows: dict[str, dict[str, Any]] = {}
    for size in args.sizes:
        rows[size] = measure(size, sequences, args, device)
        gc.collect()
        torch.cuda.empty_cache()
        result = {"what": "ESM-2 by size, fp16, random weights, one GPU", "rows": rows}
        write_result("sizes", result, args, device, __doc__)


def measure(
    size: str, sequences: list[str], args: argparse.Namespace, device: torch.device
) -> dict[str, Any]:
    """Return the figures of one size."""
    with torch.device("meta"):
        config = esm2.Config(*ESM2_SIZES[size])
        parameters = sum(p.numel() for p in esm2.ESM2(config).parameters())
    card_gib = torch.cuda.get_device_properties(device).total_memory / GIB
    if 2 * parameters / GIB + HEADROOM_GIB > card_gib:
        return {"parameters": parameters, "skipped": f"does not fit into {card_gib:.0f} GiB"}
    with tempfile.TemporaryDirectory(dir=args.work) as folder:
        path = Path(folder) / "esm2.safetensors"
        write_component(path, random_esm2(size, device, torch.float16), torch.float16)
        file_gb, sha256 = path.stat().st_size / 1e9, file_sha256(path)
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.synchronize()
        start = time.perf_counter()
        engine = load_engine(path, sha256, device, "fp16")
        torch.cuda.synchronize()
        load_s = time.perf_counter() - start
    weights = linears(engine.encoder)
    tokenizer = EsmTokenizer(engine.encoder.config.alphabet)  # type: ignore[union-attr]
    ready, logical = prepare(tokenizer, sequences, engine.token_budget, device)
    figures = rates(engine.model, weights, ready, logical, args.seconds)
    return {"parameters": parameters, "file_gb": round(file_gb, 2), "load_s": round(load_s, 2),
            "attention": engine.numerics["attention"], **figures}  # fmt: skip


if __name__ == "__main__":
    main()
