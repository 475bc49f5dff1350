"""The whole embedding command, as the pipeline runs it: frame files in, HDF5 out.

Writes a component with random weights of a published size, repeats real frames (each copy changed
by one letter, so that none is a duplicate) until they hold --tokens tokens, and runs the script in
bin/ on them; --gpus N runs N such processes at once, one a GPU. Rates count real tokens.

    python bench/command.py --frames X.frames.faa --model esm2-3B --tokens 2000000
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from encoders import RESULTS, ROOT, frames, random_dnabert_s, random_esm2, versions, write_result

from virnucpro.models.component import write_component

TOKENIZER = ROOT / "models/compact-500/tokenizer.json"
LETTERS = {"esm2": "ACDEFGHIKLMNPQRSTVWY", "dnabert_s": "ACGT"}
TOKENS_A_LETTER = {"esm2": 1.0, "dnabert_s": 0.215}  # BPE: bench/tokens_per_bp.py


def main() -> None:
    """Parse, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=Path, required=True)
    parser.add_argument(
        "--tokenizer", type=Path, default=ROOT / "models/compact-500/tokenizer.json"
    )
    parser.add_argument("--model", default="esm2-3B", help="esm2-SIZE or dnabert_s")
    parser.add_argument("--precision", default="fp16")
    parser.add_argument("--tokens", type=float, default=2e6)
    parser.add_argument("--gpus", type=int, default=1)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--weights", choices=("fp32", "fp16"), default="fp16", help="in the file")
    parser.add_argument("--repeat", type=int, default=2, help="runs; the first one compiles")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    kind = "dnabert_s" if args.model == "dnabert_s" else "esm2"
    device = torch.device("cuda")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        encoder = work / "encoder.safetensors"
        dtype = torch.float16 if args.weights == "fp16" else torch.float32
        if kind == "dnabert_s":
            model: Any = random_dnabert_s(device, dtype)
        else:
            model = random_esm2(args.model.removeprefix("esm2-"), device, dtype)
        write_component(encoder, model, dtype)
        del model
        torch.cuda.empty_cache()
        inputs = write_frames(args, kind, work)
        command = command_for(args, kind, encoder)
        runs = [run_all(command, inputs, work) for _ in range(args.repeat)]
    result = {
        "what": f"{args.model} {args.precision}, {args.gpus} GPU, weights stored in {args.weights}",
        "runs": runs,
        "input_sequences": [count for _, count in inputs],
        "versions": versions(device),
    }
    name = f"command_{args.model}_{args.precision}_{args.gpus}gpu_{args.frames.name.split('.')[0]}"
    write_result(name, result, args.out)


def write_frames(args: argparse.Namespace, kind: str, work: Path) -> list[tuple[Path, int]]:
    """Write a frame file for each GPU; return them with their number of sequences."""
    real = frames(args.frames)
    suffix = "faa" if kind == "esm2" else "fna"
    files = []
    for gpu in range(args.gpus):
        path = work / f"gpu{gpu}.frames.{suffix}"
        tokens, count, copy = 0.0, 0, 0
        with path.open("w") as out:
            while tokens < args.tokens:
                letter = LETTERS[kind][(copy + gpu * 7) % len(LETTERS[kind])]
                place = copy // len(LETTERS[kind]) + 1
                for sequence in real:
                    out.write(
                        f">s{gpu}_{count}\n{sequence[:place]}{letter}{sequence[place + 1 :]}\n"
                    )
                    tokens += len(sequence) * TOKENS_A_LETTER[kind] + 2
                    count += 1
                    if tokens >= args.tokens:
                        break
                copy += 1
        files.append((path, count))
    return files


def command_for(args: argparse.Namespace, kind: str, encoder: Path) -> list[str]:
    """Return the script with its options, without the frame files."""
    script = ROOT / "bin" / f"vnp_embed_{kind}.py"
    command = [
        sys.executable,
        str(script),
        "--encoder",
        str(encoder),
        "--encoder-sha256",
        digest(encoder),
    ]
    if kind == "dnabert_s":
        command += [
            "--tokenizer",
            str(args.tokenizer),
            "--tokenizer-sha256",
            digest(args.tokenizer),
        ]
    return [
        *command,
        "--device",
        "cuda",
        "--precision",
        args.precision,
        "--threads",
        str(args.threads),
    ]


def digest(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def run_all(command: list[str], inputs: list[tuple[Path, int]], work: Path) -> dict[str, Any]:
    """Run one process a GPU at the same time; return wall seconds and what each logged."""
    start = time.perf_counter()
    processes = []
    for gpu, (path, _) in enumerate(inputs):
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": str(gpu)}
        processes.append(
            subprocess.Popen(
                [*command, "--frames", str(path)], cwd=work, env=environment, text=True,
                stderr=subprocess.PIPE,
            )
        )  # fmt: skip
    logs = [process.communicate()[1] for process in processes]
    wall = time.perf_counter() - start
    for process, text in zip(processes, logs, strict=True):
        if process.returncode:
            raise SystemExit(text)
    stages = [
        json.loads(line) for text in logs for line in re.findall(r"^stages: (.+)$", text, re.M)
    ]
    rates = [float(rate) for text in logs for rate in re.findall(r"(\d+) tokens/s", text)[-1:]]
    tokens = sum(stage["tokens"] for stage in stages)
    return {
        "wall_s": round(wall, 2),
        "tokens": tokens,
        "tokens_per_s_of_wall": round(tokens / wall),
        "tokens_per_s_embedding": rates,
        "stages": stages,
    }


if __name__ == "__main__":
    main()
