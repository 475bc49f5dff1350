"""Labelled chunks out of a data folder, and their open frames.

    FOLDER/500bp/{train,val}.{viral,nonviral}.fa.gz    the chunks, one FASTA entry each
    FOLDER/500bp/manifest.tsv.gz                       id, class, source_seq, licence, ... of each
    FOLDER/related_train_val.tsv                       sources too alike to stand on both sides

The reader of the pipeline is not used: it takes any sequence file and needs libraries that a
machine for training may lack. These files are ours, and plain.
"""

import csv
import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from virnucpro.errors import InputError
from virnucpro.sequences.translation import translate_chunks

LABELS = {"nonviral": 0, "viral": 1}


@dataclass(frozen=True)
class LabelledFrames:
    """The open frames of labelled chunks; frames of one chunk are neighbours.

    Attributes:
        dna: nucleotides of each frame; protein: its residues.
        chunk: int64 [frames], ascending: the chunk of each frame, an index into the next two.
        labels: int64 [chunks], 1 viral; only chunks with an open frame.
        classes: what each of these chunks is, e.g. "plant virus".
        class_totals: number of chunks of each class, those without an open frame included.
    """

    dna: list[str]
    protein: list[str]
    chunk: NDArray[np.int64]
    labels: NDArray[np.int64]
    classes: list[str]
    class_totals: dict[str, int]

    @property
    def open_share(self) -> float:
        """Return the share of chunks with an open frame."""
        return len(self.labels) / sum(self.class_totals.values())


def read_frames(folder: Path, chunk_bp: int, split: str) -> LabelledFrames:
    """Return the frames of a split, "train" or "val".

    Training chunks from a source that is related to a validation source are left out.

    Raises: InputError for a folder without the files, or without an open frame of either label.
    """
    chunks = folder / f"{chunk_bp}bp"
    try:
        manifest = {row["id"]: row for row in _rows(chunks / "manifest.tsv.gz")}
        related = {row["train_source"] for row in _rows(folder / "related_train_val.tsv")}
        sequences = {
            kind: dict(_fasta(chunks / f"{split}.{kind}.fa.gz")) for kind in sorted(LABELS)
        }
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be read ({error}). Give the folder of labelled chunks, the one "
            f"that holds {chunk_bp}bp/."
        ) from error

    dna: list[str] = []
    protein: list[str] = []
    chunk: list[int] = []
    labels: list[int] = []
    classes: list[str] = []
    class_totals: dict[str, int] = {}
    for kind, label in LABELS.items():
        kept = {
            name: sequence
            for name, sequence in sequences[kind].items()
            if split != "train" or manifest[name]["source_seq"] not in related
        }
        for name, found in zip(
            kept, translate_chunks(list(kept), list(kept.values())), strict=True
        ):
            class_name = manifest[name]["class"]
            class_totals[class_name] = class_totals.get(class_name, 0) + 1
            if not found.frames:
                continue
            dna += [frame.dna for frame in found.frames]
            protein += [frame.protein for frame in found.frames]
            chunk += [len(labels)] * len(found.frames)
            labels.append(label)
            classes.append(class_name)
    if len(set(labels)) < 2:
        raise InputError(f"{chunks}: {split} has no open frame of one of the labels.")
    return LabelledFrames(
        dna, protein, np.array(chunk), np.array(labels), classes, dict(sorted(class_totals.items()))
    )


def cropped(
    frames: LabelledFrames, share: tuple[float, ...], rng: np.random.Generator
) -> tuple[list[str], list[str]]:
    """Return DNA and protein of a random part of each frame, cut between codons.

    Args:
        frames: where to cut.
        share: of the residues; each frame gets one of these at random.
        rng: where the randomness comes from.
    """
    dna, protein = [], []
    for bases, residues in zip(frames.dna, frames.protein, strict=True):
        length_aa = max(1, int(rng.choice(share) * len(residues)))
        start = int(rng.integers(len(residues) - length_aa + 1))
        protein.append(residues[start : start + length_aa])
        dna.append(bases[3 * start : 3 * (start + length_aa) + 1])  # 3P + 1, as in translation
    return dna, protein


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as stream:
        yield from csv.DictReader(stream, delimiter="\t")


def _fasta(path: Path) -> Iterator[tuple[str, str]]:
    """Yield name and sequence of each entry."""
    with gzip.open(path, "rt") as stream:
        for entry in stream.read().split(">")[1:]:
            name, _, sequence = entry.partition("\n")
            yield name.split()[0], sequence.replace("\n", "")
