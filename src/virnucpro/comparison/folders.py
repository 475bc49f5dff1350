"""Finds result tables in a folder of this pipeline, the original, the fork or its container."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from virnucpro.comparison.tables import CONSENSUS_ENDING, LEVELS, ResultTable, open_table, recognise
from virnucpro.errors import InputError

DEPTH = 2  # <outdir>/<sample>/ here, {output}/{stem}_merged/ in the fork
FRAMES, CHUNKS = "prediction_results.txt", f"prediction_results{CONSENSUS_ENDING}"
CONTIGS = "contigs.tsv"
SKIPPED = ("work", "pipeline_info")


@dataclass
class Sample:
    """The tables of one sample by level, and its embeddings (of this pipeline only)."""

    tables: dict[str, ResultTable] = field(default_factory=dict)
    embeddings: list[Path] = field(default_factory=list)


def find_samples(path: Path) -> dict[str, Sample]:
    """Return the samples of a folder by name; a file is a sample of one table.

    Raises: InputError when there is none, or when two tables are of one sample and level.
    """
    if not path.is_dir():
        table = open_table(path)
        return {sample_name(path.parent): Sample({table.level: table})}
    samples: dict[str, Sample] = {}
    for folder in _folders(path, DEPTH):
        for name, table in _tables(folder):
            tables = samples.setdefault(name, Sample()).tables
            if table.level in tables:
                raise InputError(
                    f"{path}: {tables[table.level].path} and {table.path} are both of sample "
                    f"{name}. Give the folder, or the file, of one of them."
                )
            tables[table.level] = table
    for sample in samples.values():
        folder = next(iter(sample.tables.values())).path.parent / "embeddings"
        sample.embeddings = sorted(folder.glob("*.h5"))
    if not samples:
        raise InputError(f"{path}: has no result table. Give the output folder of a run.")
    return samples


def sample_name(folder: Path) -> str:
    """Return the name of a folder's sample, without what the original and the fork append."""
    name = folder.resolve().name.removesuffix("_merged")
    return re.sub(r"_chunked\d+$", "", name)


def _folders(path: Path, depth: int) -> Iterator[Path]:
    yield path
    if depth:
        for entry in sorted(os.scandir(path), key=lambda entry: entry.name):
            if entry.is_dir() and not entry.name.startswith(".") and entry.name not in SKIPPED:
                yield from _folders(Path(entry.path), depth - 1)


def _tables(folder: Path) -> Iterator[tuple[str, ResultTable]]:
    """Yield sample name and table for each result table in a folder."""
    for file in (FRAMES, CHUNKS, CONTIGS):
        if (folder / file).is_file():
            yield sample_name(folder), open_table(folder / file)
    # the container writes X.tsv, whose name the user chose, and X_highestscore.csv
    for consensus in sorted(folder.glob(f"*{CONSENSUS_ENDING}")):
        if consensus.name == CHUNKS:
            continue
        stem = consensus.name.removesuffix(CONSENSUS_ENDING)
        yield stem, open_table(consensus)
        for other in sorted(folder.iterdir()):
            if other.stem == stem and other.is_file():
                table = recognise(other)
                if table and table.level == LEVELS[0]:
                    yield stem, table
