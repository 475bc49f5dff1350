"""What the benchmarks share: encoders of the published sizes with random weights, real frames."""

import argparse
import json
import platform
import shlex
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import torch

from virnucpro.files import write_text
from virnucpro.model_diagnostics.machine import cpu_name
from virnucpro.models import dnabert_s, esm2
from virnucpro.sequences.frames_file import read_frames

# Sizes of the published checkpoints: layers, width, heads
ESM2_SIZES = {
    "8M": (6, 320, 20),
    "35M": (12, 480, 20),
    "150M": (30, 640, 20),
    "650M": (33, 1280, 20),
    "3B": (36, 2560, 40),
    "15B": (48, 5120, 40),
}
DNABERT_S_CONFIG = dnabert_s.Config(12, 768, 12, 3072, 4096)
ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results"


def random_esm2(size: str, device: torch.device, dtype: torch.dtype, seed: int = 0) -> esm2.ESM2:
    """Return an ESM-2 with normal weights, in evaluation mode."""
    return _filled(esm2.ESM2, esm2.Config(*ESM2_SIZES[size]), device, dtype, seed)


def random_dnabert_s(device: torch.device, dtype: torch.dtype, seed: int = 0) -> dnabert_s.DnabertS:
    """Return a DNABERT-S with normal weights, in evaluation mode."""
    return _filled(dnabert_s.DnabertS, DNABERT_S_CONFIG, device, dtype, seed)


def _filled(
    model_class: Any, config: Any, device: torch.device, dtype: torch.dtype, seed: int
) -> Any:
    """Draw weights of standard deviation K^-0.5 (product), 1 (embedding), 0.02 (bias)."""
    with torch.device("meta"):
        model = model_class(config)
    model = model.to(dtype).to_empty(device=device)
    generator = torch.Generator(device).manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 2:
                scale = 1.0 if "embed" in name else weight.shape[1] ** -0.5
                weight.normal_(0, scale, generator=generator)
            elif name.endswith("weight"):  # layer norm
                weight.normal_(1, 0.1, generator=generator)
            else:
                weight.normal_(0, 0.02, generator=generator)
    return model.eval().requires_grad_(False)


def frames(path: Path, count: int | None = None) -> list[str]:
    """Return the sequences of a frame file, the first `count`."""
    return read_frames(path)[1][:count]


def parser_of(protocol: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that every benchmark has."""
    parser = argparse.ArgumentParser(
        description=protocol, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the result")
    parser.add_argument("--commit", help="of the code, where git does not know it")
    return parser


def write_result(
    name: str,
    result: dict[str, Any],
    args: argparse.Namespace,
    device: torch.device,
    protocol: str | None,
) -> None:
    """Write a result with its provenance as JSON, and print it as one line.

    Args:
        args: from parser_of. protocol: the script's docstring.
    """
    whole = result | {
        "protocol": " ".join((protocol or "").split()),
        "command": _command(),
        "versions": versions(device, args.commit),
    }
    args.out.mkdir(parents=True, exist_ok=True)
    target = args.out / f"{name}.json"
    write_text(target, json.dumps(whole, indent=2) + "\n")
    print(json.dumps(whole), flush=True)


def _command() -> str:
    """Return the command line, of paths their names alone."""
    words = [Path(word).name if "/" in word else word for word in sys.argv[1:]]
    return shlex.join(["python", f"bench/{Path(sys.argv[0]).name}", *words])


def versions(device: torch.device, commit: str | None = None) -> dict[str, Any]:
    """Return machine, software and commit, for a result's provenance."""
    facts = {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "date": date.today().isoformat(),
        "commit": commit or _run("git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"),
    }
    if device.type == "cuda":
        facts["cuda"] = str(torch.version.cuda)
        facts["device"] = torch.cuda.get_device_name(device)
        facts["driver"] = _run("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
        facts["power_limit"] = _run(
            "nvidia-smi", "--query-gpu=power.limit", "--format=csv,noheader"
        )
    else:
        facts["device"] = f"{cpu_name()}, {torch.get_num_threads()} threads"
    return facts


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip().splitlines()[0]
