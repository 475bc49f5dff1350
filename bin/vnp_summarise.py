#!/usr/bin/env python3
"""Join the shards of a sample into its result files, in the folder SAMPLE.

Writes prediction_results.txt, prediction_results_highestscore.csv, sequences.tsv, contigs.tsv,
regions.bed, regions.gff3, viral.fasta and SAMPLE.summary.tsv; or an error and none of them.
With --made-by, provenance.json too.
"""

import argparse
import sys
from pathlib import Path

from virnucpro.calls.provenance import write_provenance
from virnucpro.calls.summarise import REASONS, SampleFiles, summarise_sample
from virnucpro.task import run_task, task_parser

SUMMARY_COLUMNS = (
    "sequences", "viral", "non-viral", *REASONS,
    "chunks", "chunks_viral", "chunks_nonviral", "frames",
)  # fmt: skip


def summarise(args: argparse.Namespace) -> None:
    """Summarise the sample that the arguments name."""
    files = SampleFiles(
        args.sample, args.records, args.shards, args.chunks, args.chunk_tables, args.scores
    )
    out = Path(args.sample)
    out.mkdir(exist_ok=True)
    counts = summarise_sample(files, args.chunk_length, out)
    if args.made_by:
        write_provenance(out / "provenance.json", args.sample, args.chunk_length, args.made_by)
    values = [str(counts.get(column, 0)) for column in SUMMARY_COLUMNS]
    Path(f"{args.sample}.summary.tsv").write_text(
        "\t".join(("sample", *SUMMARY_COLUMNS)) + "\n" + "\t".join((args.sample, *values)) + "\n"
    )


def main(argv: list[str] | None = None) -> int:
    """Return the exit status."""
    parser = task_parser(__doc__)
    parser.add_argument("--sample", required=True)
    parser.add_argument("--chunk-length", required=True, type=int, metavar="BP")
    parser.add_argument("--records", required=True, type=Path)
    parser.add_argument("--shards", required=True, type=Path, help="the shards to expect")
    parser.add_argument("--chunks", nargs="*", default=[], type=Path, help="SHARD.chunks.fna")
    parser.add_argument("--chunk-tables", nargs="*", default=[], type=Path, help="SHARD.chunks.tsv")
    parser.add_argument("--scores", nargs="*", default=[], type=Path, help="SHARD.scores.tsv")
    parser.add_argument("--made-by", metavar="JSON", help="the models, for provenance.json")
    args = parser.parse_args(argv)
    return run_task(summarise, args, library=["calls", "sequences"], versions=["numpy"])


if __name__ == "__main__":
    sys.exit(main())
