"""How fast are SPLIT and TRANSLATE, by either frame rule, and against another checkout?

usage: bench/chunk_translate.py [--against OTHER_CHECKOUT/src] [--repeats N]
Writes bench/results/chunk_translate.json; protocol: 200,000 error-free 150 bp reads (FASTQ) and 20
million bp of contigs (FASTA), drawn from the demo's contigs, seed 1, chunks of 500 bp, one shard.
The codes take turns, each run in its own process; the figure is the smallest CPU time of the
repeats, children (sort) included, on one core: other work on the machine counts for little.
"""

import argparse
import json
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import dnaio
from checkout import PROJECT, commit

RESULT = PROJECT / "bench" / "results" / "chunk_translate.json"
NUM_READS, READ_BP, CONTIGS_BP, CHUNK_BP, MIN_RESIDUES = 200_000, 150, 20_000_000, 500, 20


def write_inputs(folder: Path) -> dict[str, int]:
    """Write reads.fq and contigs.fa; return the number of units (reads, chunks' bp) of each."""
    rng = random.Random(1)
    contigs = [
        record.sequence
        for file in sorted((PROJECT / "assets" / "demo").glob("contigs_?.fa.gz"))
        for record in dnaio.open(file)
    ]
    with (folder / "reads.fq").open("w") as reads:
        for n in range(NUM_READS):
            contig = rng.choice(contigs)
            start = rng.randrange(len(contig) - READ_BP)
            read = contig[start : start + READ_BP]
            reads.write(
                f"@INSTRUMENT:{n}:FLOWCELL:1:{rng.randrange(30000)}\n{read}\n+\n{'I' * READ_BP}\n"
            )
    written = 0
    with (folder / "contigs.fa").open("w") as out:
        while written < CONTIGS_BP:
            contig = rng.choice(contigs)
            out.write(f">contig_{written}\n{contig}\n")
            written += len(contig)
    return {"reads.fq": NUM_READS, "contigs.fa": written}


def cpu_s() -> float:
    """Return the CPU time of this process and its children."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def work(source: Path, rule: str) -> dict[str, float]:
    """Split and translate a file; return the CPU seconds of both."""
    from virnucpro.sequences.reader import InputFile
    from virnucpro.sequences.split_task import split_sample
    from virnucpro.sequences.translate_task import translate_shard

    with tempfile.TemporaryDirectory() as name:
        out = Path(name)
        start = cpu_s()
        split_sample("s", [InputFile(source)], CHUNK_BP, 0, out)
        split = cpu_s()
        options = [MIN_RESIDUES] if rule == "longest_open" else []
        translate_shard(out / "s.00001.chunks.fna", out / "fna", out / "faa", out / "tsv", *options)
        return {"split_s": split - start, "translate_s": cpu_s() - split}


def measure(folder: Path, units: dict[str, int], against: Path | None, repeats: int) -> dict:
    """Return the smallest times of each code, file and rule, and the rates from them."""
    runs = [("this", PROJECT / "src", rule) for rule in ("open", "longest_open")]
    if against:
        runs.append(("other", against, "open"))
    results: dict[str, dict] = {}
    for _ in range(repeats):
        for file in units:
            for code, src, rule in runs:
                done = subprocess.run(
                    [sys.executable, __file__, "--work", folder / file, "--rule", rule],
                    env={**os.environ, "PYTHONPATH": str(src)},
                    check=True, stdout=subprocess.PIPE, text=True,
                )  # fmt: skip
                row = results.setdefault(f"{code}, {file}, {rule}", {})
                for key, value in json.loads(done.stdout).items():
                    row[key] = min(value, row.get(key, value))
    for name, row in results.items():
        file = name.split(", ")[1]
        unit = "reads_per_s" if file == "reads.fq" else "bp_per_s"
        row[f"{unit}_core"] = round(units[file] / (row["split_s"] + row["translate_s"]))
        row.update({key: round(value, 3) for key, value in row.items() if key.endswith("_s")})
    return results


def main() -> None:
    """Print a table and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", type=Path, help="src folder of another checkout")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--rule", default="open", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        print(json.dumps(work(args.work, args.rule)))
        return
    from virnucpro.model_diagnostics.machine import cpu_name  # another checkout may not have it

    with tempfile.TemporaryDirectory() as name:
        units = write_inputs(Path(name))
        results = measure(Path(name), units, args.against, args.repeats)
    content = {"commit": commit(), "cpu": cpu_name(), "python": platform.python_version(),
               "repeats": args.repeats, "units": units, "results": results}  # fmt: skip
    for name, row in results.items():
        print(name, *(f"{key} {value}" for key, value in row.items()), sep="\t")
    RESULT.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
