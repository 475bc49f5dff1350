"""Which trainer makes the better classifier of the same vectors? `--workflow train` with both.

usage: bench/trainers.py FOLDER [FOLDER ...] --model_set SET [--launch FOLDER]
Folders as tools/train_compact.py takes them. Give a set whose encoders were not trained on their
val side, as those of the bundled sets now are. Writes bench/results/trainers.json; protocol: the
set's encoders, frame rule and all options but the trainer at their defaults; 46 groups of each
label, drawn from the classes in turn (seed 1) on the data's val side, which the encoders have not
seen, of each the first 40,000 bp; five splits, drawn within each class by the seeds 1 to 5,
half to train, a quarter each to val and test; each trainer once on each split, with its seed. The
figures are for comparing the two trainers alone.
"""

import argparse
import csv
import json
import platform
import random
import re
import statistics
import subprocess
import tempfile
from collections import defaultdict
from itertools import zip_longest
from pathlib import Path
from typing import Any

from checkout import PROJECT, commit

from virnucpro.compact.sources import Source, read_sources
from virnucpro.files import write_text
from virnucpro.model_diagnostics.machine import cpu_name

RESULT = PROJECT / "bench" / "results" / "trainers.json"
NEXTFLOW = subprocess.check_output([PROJECT / "tools" / "find_nextflow.sh"], text=True).strip()
TRAINERS, SEEDS = ("adamw", "original"), (1, 2, 3, 4, 5)
SIDES = ("train", "val", "train", "test")
NUM_GROUPS, GROUP_BP = 46, 40_000  # of each label
FIGURES = ("auroc", "auprc", "accuracy", "sensitivity", "specificity", "ece")
SECONDS = {"h": 3600, "m": 60, "s": 1, "ms": 0.001}  # of Nextflow's durations, such as "1m 2.5s"


def write_genomes(sources: list[Source], folder: Path) -> list[tuple[str, ...]]:
    """Write a FASTA file for each group; return their rows of the sheet, all but the side."""
    rng = random.Random(1)
    rows = []
    for label, name in ((1, "viral"), (0, "nonviral")):
        for n, (kind, group) in enumerate(draw_groups(sources, label, rng)):
            write_group(folder / f"{name}_{n}.fa", [s for s in sources if s.group == group])
            rows.append((f"{name}_{n}", f"{name}_{n}.fa", name, kind, group))
    return rows


def write_sheet(path: Path, genomes: list[tuple[str, ...]], seed: int) -> None:
    """Deal the genomes of each class out to the sides."""
    order = random.Random(seed).sample(range(len(genomes)), len(genomes))
    dealt = sorted(order, key=lambda n: genomes[n][2:4])
    side_of = {n: SIDES[k % len(SIDES)] for k, n in enumerate(dealt)}
    with path.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(("id", "fasta", "label", "class", "group", "split"))
        writer.writerows((*row, side_of[n]) for n, row in enumerate(genomes))


def draw_groups(sources: list[Source], label: int, rng: random.Random) -> list[tuple[str, str]]:
    """Return (class, group), drawn one of each class in turn, sorted by class."""
    kind_of = {s.group: s.kind for s in sources if (s.label, s.split) == (label, "val")}
    by_kind = defaultdict(list)
    for group in rng.sample(sorted(kind_of), len(kind_of)):
        by_kind[kind_of[group]].append(group)
    in_turn = zip_longest(*(by_kind[kind] for kind in sorted(by_kind)))
    drawn = [group for groups in in_turn for group in groups if group]
    chosen = [(kind_of[group], group) for group in drawn[:NUM_GROUPS]]
    return sorted(chosen, key=lambda pair: pair[0])


def write_group(path: Path, sources: list[Source]) -> None:
    """Write the first GROUP_BP of the sequences of a group."""
    left = GROUP_BP
    with path.open("w") as out:
        for n, source in enumerate(sources):
            if left > 0:
                out.write(f">{path.stem}_{n}\n{source.sequence[:left]}\n")
                left -= len(source.sequence)


def train(launch: Path, model_set: Path, trainer: str, seed: int) -> dict[str, Any]:
    """Train a set on a split through the workflow; return its figures."""
    name = f"{trainer}_{seed}"
    subprocess.run(
        [NEXTFLOW, "run", PROJECT, "--workflow", "train", "--input", f"split_{seed}.csv",
         "--model_set", model_set.resolve(), "--trainer", trainer, "--seed", str(seed),
         "--set_name", name,
         "--outdir", "out", "-resume"],
        cwd=launch, check=True,
    )  # fmt: skip
    metrics = json.loads((launch / "out" / name / "metrics.json").read_text())
    training, test = metrics["training"], metrics["figures"]["test"]["all"]["all"]
    return {
        "sizes": {key: training[key] for key in ("train_chunks", "train_frames", "val_chunks")}
        | {f"test_{key}": test[key] for key in ("chunks", "viral", "nonviral", "called")},
        "test": {key: test[key] for key in FIGURES},
        "val_auroc": training["val"]["val_auroc"],
        "epochs": training["epochs"],
        "best_epoch": training["best_epoch"],
        "train_s": task_seconds(max(launch.glob("out/pipeline_info/execution_trace_*.txt"))),
        "threads": training["threads"],
        "torch": training["torch"],
    }


def task_seconds(trace: Path) -> float:
    """Return how long TRAIN_CLASSIFIER ran."""
    with trace.open() as table:
        rows = csv.DictReader(table, delimiter="\t")
        text = next(r["realtime"] for r in rows if r["process"].endswith("TRAIN_CLASSIFIER"))
    return sum(float(n) * SECONDS[unit] for n, unit in re.findall(r"([\d.]+)([a-z]+)", text))


def main() -> None:
    """Train the sets, print a card, store the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--model_set", type=Path, required=True, metavar="SET")
    parser.add_argument("--launch", type=Path, help="keep the work there, to resume it")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        launch = args.launch or Path(temporary)
        launch.mkdir(exist_ok=True)
        genomes = write_genomes(read_sources(args.folders), launch)
        for seed in SEEDS:
            write_sheet(launch / f"split_{seed}.csv", genomes, seed)
        runs = {t: {s: train(launch, args.model_set, t, s) for s in SEEDS} for t in TRAINERS}
    for run in (run for of_trainer in runs.values() for run in of_trainer.values()):
        threads, torch = run.pop("threads"), run.pop("torch")
    means = {
        trainer: {key: statistics.mean(run["test"][key] for run in of.values()) for key in FIGURES}
        for trainer, of in runs.items()
    }
    for trainer, figures in means.items():
        print(trainer, *(f"{key} {value:.3f}" for key, value in figures.items()))
    result = {
        "protocol": __doc__.split("protocol: ")[1].replace("\n", " ").strip(),
        "commit": commit(),
        "cpu": f"{cpu_name()}, {threads} threads",
        "python": platform.python_version(),
        "torch": torch,
        "nextflow": subprocess.check_output([NEXTFLOW, "-v"], text=True).split()[2],
        "mean_of_test": means,
        "runs": runs,
    }
    write_text(RESULT, json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
