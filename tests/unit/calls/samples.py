"""Samples that are split and translated here, with scores made up here, and their tables."""

import random
from pathlib import Path

import numpy as np

from virnucpro.calls.sample_files import SampleFiles
from virnucpro.consensus.calibrator import Bin, Calibration, Rates, Temperature
from virnucpro.scoring.scores_file import write_scores
from virnucpro.sequences.frames_file import read_frames
from virnucpro.sequences.length_range import ALL_LENGTHS, LengthRange
from virnucpro.sequences.reader import InputFile
from virnucpro.sequences.split_task import split_sample
from virnucpro.sequences.translate_task import translate_shard

RESULTS = {
    "prediction_results.txt", "prediction_results_highestscore.csv", "sequences.tsv",
    "contigs.tsv", "chunks.tsv", "regions.bed", "regions.gff3", "viral.fasta",
}  # fmt: skip
CHUNK_BP = 300
STOPS = "TAATTAATTAATTAA"  # one in each of the six frames
RECORDS = {
    "empty": "",
    "short": "AC",
    "letters": "NNNNNNNN",
    "stops": STOPS * 10,
    **{
        f"r{length}": "".join(random.Random(length).choices("ACGacg", k=length))
        for length in (3, 299, 300, 301, 450, 601, 900, 2345, 3333)
    },
    "last_without": "ACG" * 100 + STOPS * 20,
}
RATES = Rates((-1.0, 0.5), (1.0, 0.5), (1.0, 0.1))
CALIBRATION = Calibration((Bin(1, Temperature(2.0, 0.0), RATES),))


def random_score(frame_id: str) -> float:
    return random.Random(frame_id).random()


def make_sample(
    folder: Path,
    records: dict[str, str],
    *,
    shard_tokens=150,
    p_virus=random_score,
    min_residues: int | None = None,
    lengths: LengthRange = ALL_LENGTHS,
) -> SampleFiles:
    """Run SPLIT and TRANSLATE in `folder`, and give each frame the score p_virus(id)."""
    folder.mkdir()
    (folder / "in.fa").write_text("".join(f">{name}\n{s}\n" for name, s in records.items()))
    split_sample("s", [InputFile(folder / "in.fa")], CHUNK_BP, shard_tokens, folder, lengths)
    chunk_files = sorted(folder.glob("s.*.chunks.fna"))
    tables, scores = [], []
    for chunks in chunk_files:
        shard = chunks.name.removesuffix(".chunks.fna")
        faa = folder / f"{shard}.frames.faa"
        tables.append(folder / f"{shard}.chunks.tsv")
        fna = folder / f"{shard}.frames.fna"
        translate_shard(chunks, fna, faa, tables[-1], min_residues)
        ids, _ = read_frames(faa)
        if ids:
            values = [(1 - p_virus(frame_id), p_virus(frame_id)) for frame_id in ids]
            scores.append(folder / f"{shard}.scores.tsv")
            write_scores(scores[-1], ids, np.array(values, np.float32))
    return SampleFiles(
        "s", folder / "s.records.tsv", folder / "s.shards.tsv", chunk_files, tables, scores
    )


def rows(path: Path) -> list[dict[str, str]]:
    header, *lines = (line.split("\t") for line in path.read_text().splitlines())
    return [dict(zip(header, line, strict=True)) for line in lines]


def read_fasta(path: Path) -> dict[str, str]:
    parts = [record.split("\n") for record in path.read_text().split(">")[1:]]
    return {lines[0]: "".join(lines[1:]) for lines in parts}


def visible(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}
