"""Labelled sequences to train a compact set on, out of data folders of two kinds.

    labelled chunks                                    whole sequences
    FOLDER/500bp/{train,val}.{viral,nonviral}.fa.gz    FOLDER/{viral,nonviral}.fa.gz
    FOLDER/500bp/manifest.tsv.gz                       FOLDER/manifest.tsv.gz
    FOLDER/related_train_val.tsv

Neighbouring chunks of one source are joined again, so that windows can be cut at any place.
"""

import csv
import gzip
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import dnaio

from virnucpro.errors import InputError
from virnucpro.training.genomes import LABELS

JOINED_BP = 500  # the chunks of 300 bp are of the same sources
MIN_SOURCE_BP = 150


@dataclass(frozen=True)
class Source:
    """A labelled sequence.

    Attributes:
        label: 1 viral; kind: what it is, such as "phage".
        group: sequences of one genome or cluster share it; it is never on both sides.
        split: "train" or "val".
        licence: of the repository that it was taken from.
    """

    sequence: str
    label: int
    kind: str
    group: str
    split: str
    licence: str


def read_sources(folders: Iterable[Path]) -> list[Source]:
    """Return the sequences of data folders, in the order of folders and files.

    Raises: InputError for a folder of neither kind, a damaged one, and where a group is on both
        sides or a side lacks a label.
    """
    sources: list[Source] = []
    for folder in folders:
        chunks = folder / f"{JOINED_BP}bp"
        try:
            read = _joined_chunks(folder, chunks) if chunks.is_dir() else _whole(folder)
            sources += [source for source in read if len(source.sequence) >= MIN_SOURCE_BP]
        except (OSError, EOFError, KeyError, ValueError, dnaio.FileFormatError) as error:
            raise InputError(
                f"{folder}: cannot be read ({error}). Give folders of labelled chunks, with "
                f"{JOINED_BP}bp/ in them, or of whole sequences, with viral.fa.gz, nonviral.fa.gz "
                "and manifest.tsv.gz."
            ) from error
    _check(sources)
    return sources


def _check(sources: list[Source]) -> None:
    sides = defaultdict(set)
    for source in sources:
        sides[source.group].add(source.split)
    if both := sorted(group for group, splits in sides.items() if len(splits) > 1):
        raise InputError(f"group {both[0]}: is in train and in val. Put each on one side.")
    for split in ("train", "val"):
        for name, label in LABELS.items():
            if not any(s.split == split and s.label == label for s in sources):
                raise InputError(f"{split} has no {name} sequence. Give folders that have some.")


def _joined_chunks(folder: Path, chunks: Path) -> Iterator[Source]:
    manifest = {row["id"]: row for row in _rows(chunks / "manifest.tsv.gz")}
    related = {row["train_source"] for row in _rows(folder / "related_train_val.tsv")}
    for split in ("train", "val"):
        for name, label in LABELS.items():
            by_source: dict[str, list[tuple[int, str, dict[str, str]]]] = defaultdict(list)
            for chunk_id, sequence in _fasta(chunks / f"{split}.{name}.fa.gz"):
                row = manifest[chunk_id]
                if split == "train" and row["source_seq"] in related:
                    continue  # too similar to a source of val
                by_source[row["source_seq"]].append((int(row["start_1based"]), sequence, row))
            for parts in by_source.values():
                parts.sort(key=lambda part: part[0])
                for run in _runs(parts):
                    row = run[0][2]
                    group = f"chunks:{row['split_unit']}:{row['genome'] if label else ''}"
                    joined = "".join(sequence for _, sequence, _ in run)
                    yield Source(joined, label, row["class"], group, split, row["licence"])


def _runs(
    parts: list[tuple[int, str, dict[str, str]]],
) -> Iterator[list[tuple[int, str, dict[str, str]]]]:
    """Yield runs of chunks that touch."""
    run = parts[:1]
    for part in parts[1:]:
        if part[0] != run[-1][0] + len(run[-1][1]):
            yield run
            run = []
        run.append(part)
    yield run


def _whole(folder: Path) -> Iterator[Source]:
    manifest = {row["id"]: row for row in _rows(folder / "manifest.tsv.gz")}
    for name in sorted(LABELS, reverse=True):
        for source_id, sequence in _fasta(folder / f"{name}.fa.gz"):
            row = manifest[source_id]
            if row["also_in_labelled"] != "yes":  # those are in the folder of chunks
                label, group = int(row["label"]), f"whole:{row['group']}"
                yield Source(sequence, label, row["class"], group, row["split"], row["licence"])


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as stream:
        yield from csv.DictReader(stream, delimiter="\t")


def _fasta(path: Path) -> Iterator[tuple[str, str]]:
    """Yield name and sequence of each entry."""
    with dnaio.open(path, fileformat="fasta") as records:
        for record in records:
            yield record.id, record.sequence
