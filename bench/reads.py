"""How long do short reads take, from FASTA to tables? The pipeline's own scripts, stage by stage.

The workload is the fork's headline: 150 bp reads, ESM-2 3B and DNABERT-S. Weights are random (the
time does not depend on them), the classifier too. Scheduling by Nextflow is not in it: stages run
one after the other, each encoder as one task a GPU, CPU tasks --jobs at a time, each with the one
BLAS thread that the pipeline gives it (conf/base.config).

    python bench/reads.py --chunks CHUNKS.fna.gz --reads 1000000 --gpus 2
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice, repeat
from pathlib import Path

import dnaio
import numpy as np
import torch
from command import TOKENIZER, digest
from encoders import ROOT, parser_of, random_dnabert_s, random_esm2, write_result

from virnucpro.models.component import write_component
from virnucpro.scoring.classifier import TENSORS, save_classifier

READ_BP = 150
ONE_BLAS_THREAD = {"OPENBLAS_NUM_THREADS": "1"}  # numpy would start one a core
SHARD_TOKENS = 2_500_000  # some shards a GPU, so that all have about the same to do


def main() -> None:
    """Parse, measure, report."""
    parser = parser_of(__doc__)
    parser.add_argument("--chunks", type=Path, required=True, help="FASTA to cut reads from")
    parser.add_argument("--reads", type=int, default=1_000_000)
    parser.add_argument("--size", default="3B")
    parser.add_argument("--gpus", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=8)
    parser.add_argument("--threads", type=int, default=16, help="of an embedding task")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--precision", default="fp16")
    args = parser.parse_args()
    device = torch.device(args.device)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        dtype = torch.float16 if args.device == "cuda" else torch.float32
        encoders = write_models(work, args.size, device, dtype)
        write_reads(args.chunks, work / "reads.fna", args.reads)
        print(f"{'prepared':12}{time.perf_counter() - started:10.1f} s", flush=True)
        seconds = run_stages(args, work, encoders)
        rows = sum(1 for _ in (work / "s" / "prediction_results.txt").open()) - 1
        called = sum(1 for _ in (work / "s" / "prediction_results_highestscore.csv").open()) - 1
    total = sum(seconds.values())
    result = {
        "what": f"{args.reads} reads of {READ_BP} bp, ESM-2 {args.size} and DNABERT-S, "
                f"{args.precision}, {args.gpus} {args.device}",
        "seconds": seconds, "total_s": round(total, 1), "reads_per_s": round(args.reads / total),
        "frames": rows, "called_reads": called,
    }  # fmt: skip
    write_result(f"reads_{args.reads}_{args.gpus}gpu", result, args, device, __doc__)


def write_models(
    work: Path, size: str, device: torch.device, dtype: torch.dtype
) -> dict[str, Path]:
    """Write random components of the published sizes; return them by name."""
    esm2 = random_esm2(size, device, dtype)
    dnabert_s = random_dnabert_s(device, dtype)
    width = esm2.config.width + dnabert_s.config.width
    paths = {name: work / f"{name}.safetensors" for name in ("esm2", "dnabert_s", "classifier")}
    write_component(paths["esm2"], esm2, dtype)
    write_component(paths["dnabert_s"], dnabert_s, dtype)
    draw = np.random.default_rng(0).normal
    shapes = {"hidden_layer.weight": (512, width), "output_layer.weight": (2, 512),
              "output_layer.bias": (2,)}  # fmt: skip
    tensors = {n: draw(0, 0.05, shapes.get(n, (512,))).astype(np.float32) for n in TENSORS}
    tensors["bn1.running_var"] = np.ones(512, np.float32)
    save_classifier(paths["classifier"], tensors)
    return paths


def write_reads(source: Path, target: Path, wanted: int) -> None:
    """Cut overlapping reads from the sequences of a FASTA, round by round, until enough.

    No two are the same piece: the GPU computes equal frames once.
    """
    with dnaio.open(source) as records:
        sequences = [record.sequence for record in records]
    starts = np.random.default_rng(0).permutation(max(map(len, sequences)) - READ_BP + 1)
    pieces = (
        (sequence, start)
        for start in starts.tolist()
        for sequence in sequences
        if start + READ_BP <= len(sequence)
    )
    with target.open("w") as out:
        number = 0
        for number, (sequence, start) in enumerate(islice(pieces, wanted), 1):
            out.write(f">read{number}\n{sequence[start : start + READ_BP]}\n")
    if number < wanted:
        raise SystemExit(f"{source} has {number} different reads")


def run_stages(args: argparse.Namespace, work: Path, models: dict[str, Path]) -> dict[str, float]:
    """Run all stages in the folder; return the seconds of each."""
    seconds: dict[str, float] = {}

    def stage(name: str, *commands: list[str], jobs: int = 1) -> None:
        start = time.perf_counter()
        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(run, commands, repeat(work), cycle(range(args.gpus))))
        seconds[name] = round(time.perf_counter() - start, 2)
        print(f"{name:12}{seconds[name]:10.1f} s, {len(commands)} tasks", flush=True)

    stage("split", ["vnp_split.py", "--sample", "s", "--inputs", "reads.fna", "--ends", "0",
                    "--chunk-length", "500", "--shard-tokens", str(SHARD_TOKENS)])  # fmt: skip
    shards = sorted(path.name.removesuffix(".chunks.fna") for path in work.glob("*.chunks.fna"))
    stage("translate", *(["vnp_translate.py", "--shard", s, "--chunks", f"{s}.chunks.fna"]
                         for s in shards), jobs=args.jobs)  # fmt: skip
    gpu = ["--device", args.device, "--precision", args.precision, "--threads", str(args.threads)]
    sums = {name: digest(path) for name, path in models.items()}
    for name, suffix in (("dnabert_s", "fna"), ("esm2", "faa")):
        command = [f"vnp_embed_{name}.py", *gpu, "--encoder", models[name].name]
        command += ["--encoder-sha256", sums[name]]
        if name == "dnabert_s":
            command += ["--tokenizer", str(TOKENIZER), "--tokenizer-sha256", digest(TOKENIZER)]
        parts = [[f"{s}.frames.{suffix}" for s in shards[i :: args.gpus]]
                 for i in range(min(args.gpus, len(shards)))]  # fmt: skip
        stage(name, *([*command, "--frames", *part] for part in parts), jobs=args.gpus)
    stage("classify", *(["vnp_classify.py", "--shard", s,
                         "--frames", f"{s}.frames.faa", f"{s}.frames.fna",
                         "--dnabert-s", f"{s}.dnabert_s.h5", "--esm2", f"{s}.esm2.h5",
                         "--classifier", "classifier.safetensors",
                         "--classifier-sha256", sums["classifier"]]
                        for s in shards), jobs=args.jobs)  # fmt: skip
    stage("summarise", ["vnp_summarise.py", "--sample", "s", "--chunk-length", "500",
                        "--records", "s.records.tsv", "--shards", "s.shards.tsv",
                        "--chunks", *(f"{s}.chunks.fna" for s in shards),
                        "--chunk-tables", *(f"{s}.chunks.tsv" for s in shards),
                        "--scores", *(f"{s}.scores.tsv" for s in shards)])  # fmt: skip
    return seconds


def run(command: list[str], work: Path, gpu: int) -> None:
    """Run a script of bin/; stop when it fails. What it logs, progress too, goes to our stderr.

    Args:
        gpu: the one that it sees, if it wants any.
    """
    script, *options = command
    environment = os.environ | ONE_BLAS_THREAD | {"CUDA_VISIBLE_DEVICES": str(gpu)}
    done = subprocess.run([sys.executable, str(ROOT / "bin" / script), *options], cwd=work,
                          env=environment, stdout=subprocess.DEVNULL)  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{script}: exit status {done.returncode}")


if __name__ == "__main__":
    main()
