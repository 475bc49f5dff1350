"""The whole embedding command, as the pipeline runs it: frame files in, HDF5 out.

Writes a component with random weights of a published size and frame files of real frames, repeated
with one letter changed for each copy so that none is a duplicate, --shard-tokens tokens a file, and
runs the script in bin/ on them; on N GPUs N such processes run at once, one a GPU. The first run,
of --tokens tokens a GPU, compiles the kernels and finds the rate; then there is one run for each
number of --gpus, of as many tokens a GPU as fill --seconds at that rate, or --tokens again. Rates
count real tokens; gpu_busy is the share of the time between the first and the last batch in which
one was launched and not finished.

--checkpoints runs each number of GPUs a second time, with checkpoints every --checkpoint-seconds in
a folder beside the outputs: their cost is the difference of tokens_per_s_embedding.

    python bench/command.py --frames X.frames.faa --model esm2-3B --seconds 180
    python bench/command.py --frames X.frames.faa --model esm2-3B --seconds 180 --checkpoints
    python bench/command.py --frames X.frames.fna --model dnabert_s --seconds 20 --gpus 1 2
"""

import argparse
import hashlib
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from encoders import ROOT, frames, parser_of, random_dnabert_s, random_esm2, write_result

from virnucpro.models.component import write_component

TOKENIZER = ROOT / "models/compact-500/tokenizer.json"
LETTERS = {"esm2": "ACDEFGHIKLMNPQRSTVWY", "dnabert_s": "ACGT"}
TOKENS_A_LETTER = {"esm2": 1.0, "dnabert_s": 0.215}  # BPE: bench/tokens_per_bp.py


def main() -> None:
    """Parse, measure, report."""
    parser = parser_of(__doc__)
    parser.add_argument("--frames", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, default=TOKENIZER)
    parser.add_argument("--model", default="esm2-3B", help="esm2-SIZE or dnabert_s")
    parser.add_argument("--precision", default="fp16")
    parser.add_argument("--tokens", type=float, default=2e6, help="of a GPU, in the first run")
    parser.add_argument("--seconds", type=float, help="of the later runs, while embedding")
    parser.add_argument("--shard-tokens", type=float, default=5e6, help="of a frame file")
    parser.add_argument("--gpus", type=int, nargs="+", default=[1], help="a run for each number")
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--checkpoints", action="store_true", help="each run without and with")
    parser.add_argument("--checkpoint-seconds", type=float, default=60)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--weights", choices=("fp32", "fp16"), default="fp16", help="in the file")
    args = parser.parse_args()
    kind = "dnabert_s" if args.model == "dnabert_s" else "esm2"
    device = torch.device(args.device)
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
        if args.device == "cuda":
            torch.cuda.empty_cache()
        command = command_for(args, kind, encoder)
        runs = [measure(args, kind, command, args.tokens, work / "first", max(args.gpus))]
        wanted = args.tokens
        if args.seconds:  # a short run is slower than a long one: it warms up
            wanted = 1.1 * args.seconds * min(runs[0]["tokens_per_s_embedding"])
        os.environ["VIRNUCPRO_CHECKPOINT_S"] = str(args.checkpoint_seconds)
        for gpus in args.gpus:
            runs.append(measure(args, kind, command, wanted, work / f"{gpus}gpu", gpus))
            if args.checkpoints:
                saving = [*command, "--checkpoint-dir", "parts"]
                runs.append(measure(args, kind, saving, wanted, work / f"{gpus}gpu_parts", gpus))
    numbers = "-".join(map(str, args.gpus))
    result = {
        "what": f"{args.model} {args.precision}, {numbers} GPU, weights stored in {args.weights}",
        "runs": runs,
    }
    what = "checkpoints" if args.checkpoints else "command"
    name = f"{what}_{args.model}_{args.precision}_{numbers}gpu_{args.frames.name.split('.')[0]}"
    write_result(name, result, args, device, __doc__)


def measure(
    args: argparse.Namespace, kind: str, command: list[str], tokens: float, work: Path, gpus: int
) -> dict[str, Any]:
    """Run the command on so many tokens a GPU, in a new folder, removed afterwards."""
    work.mkdir()
    inputs = [write_frames(args, kind, tokens, gpu, work) for gpu in range(gpus)]
    result = run_all(command, inputs, work)
    written = sum(path.stat().st_size for path in work.glob("*.h5"))
    shutil.rmtree(work)
    return {
        "gpus": gpus,
        **result,
        "frame_files": sum(map(len, inputs)),
        "written_gb": round(written / 1e9, 2),
    }


def write_frames(
    args: argparse.Namespace, kind: str, tokens: float, gpu: int, work: Path
) -> list[Path]:
    """Write frame files of so many tokens together, no sequence twice; return them."""
    suffix = "faa" if kind == "esm2" else "fna"
    files: list[Path] = []
    sequences = distinct(frames(args.frames), LETTERS[kind], gpu)
    left, count = tokens, 0
    while left > 0:
        files.append(work / f"gpu{gpu}_{len(files):03}.frames.{suffix}")
        room = min(args.shard_tokens, left)
        left -= room
        with files[-1].open("w") as out:
            while room > 0:
                sequence = next(sequences)
                out.write(f">s{gpu}_{count}\n{sequence}\n")
                room -= len(sequence) * TOKENS_A_LETTER[kind] + 2
                count += 1
    return files


def distinct(real: list[str], letters: str, gpu: int) -> Iterator[str]:
    """Yield real sequences, then copies with one more letter replaced in each round.

    Round r replaces the letter at index r // number of letters; other GPUs start elsewhere in the
    alphabet. The few that equal another one are omitted.
    """
    seen: set[int] = set()
    for number in itertools.count():
        index, shift = divmod(number, len(letters))
        letter = letters[(shift + 7 * gpu) % len(letters)]
        for sequence in real:
            at = index % len(sequence)
            changed = f"{sequence[:at]}{letter}{sequence[at + 1 :]}"
            if (key := hash(changed)) not in seen:
                seen.add(key)
                yield changed


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
    command += ["--device", args.device, "--precision", args.precision]
    return [*command, "--threads", str(args.threads)]


def digest(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def run_all(command: list[str], inputs: list[list[Path]], work: Path) -> dict[str, Any]:
    """Run one process a GPU at the same time; return wall seconds and what each logged."""
    start = time.perf_counter()
    processes, logs = [], [work / f"gpu{gpu}.log" for gpu in range(len(inputs))]
    for gpu, (paths, log) in enumerate(zip(inputs, logs, strict=True)):
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": str(gpu)}
        with log.open("w") as out:
            processes.append(
                subprocess.Popen([*command, "--frames", *map(str, paths)], cwd=work,
                                 env=environment, stderr=out)
            )  # fmt: skip
    statuses = [process.wait() for process in processes]
    wall = time.perf_counter() - start
    texts = [log.read_text() for log in logs]
    for status, text in zip(statuses, texts, strict=True):
        if status:
            raise SystemExit(text)
    stages = [
        json.loads(line) for text in texts for line in re.findall(r"stages: (.+)$", text, re.M)
    ]
    rates = [float(rate) for text in texts for rate in re.findall(r"(\d+) tokens/s", text)[-1:]]
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
