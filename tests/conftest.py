"""Fixtures: the rules of the original program written out plainly, and the executables."""

import itertools
import math
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
from Bio.Seq import Seq

ROOT = Path(__file__).parents[1]
CODONS = {"".join(c): str(Seq("".join(c)).translate()) for c in itertools.product("ACGT", repeat=3)}


class Original:
    """What the original program does, step by step and without any speed; Biopython translates."""

    @staticmethod
    def chunk_coordinates(length_bp: int, chunk_bp: int) -> list[tuple[int, int]]:
        num_chunks = math.ceil(length_bp / chunk_bp)
        if num_chunks == 0:
            return []
        wanted = num_chunks * chunk_bp - length_bp
        small = int(wanted / num_chunks)
        num_wide = wanted - small * (num_chunks - 1)
        coordinates = [(0, min(chunk_bp, length_bp))]
        for gap in range(num_chunks - 1):
            start = coordinates[-1][1] - (small + 1 if gap < num_wide else small)
            coordinates.append((start, min(start + chunk_bp, length_bp)))
        return coordinates

    @staticmethod
    def frames(chunk: str) -> tuple[str, list[tuple[str, str, str]]]:
        """Return our six state letters, and (F1..R3, DNA, protein) of the frames it writes."""
        forward = chunk.upper()
        pairs = {"A": "T", "C": "G", "G": "C", "T": "A"}
        reverse = "".join(pairs.get(letter, letter) for letter in reversed(forward))
        states, kept = "", []
        for letter, strand in (("F", forward), ("R", reverse)):
            for number in (1, 2, 3):
                codons = [strand[i : i + 3] for i in range(number - 1, len(strand) - 2, 3)]
                protein = "".join(CODONS.get(codon, "") for codon in codons)
                if "*" in protein:
                    states += "s"
                elif not protein:
                    states += "n"
                else:
                    states += "o" if len(protein) == len(codons) else "d"
                    dna = strand[number - 1 : number + 3 * len(protein)]
                    kept.append((f"{letter}{number}", dna, protein))
        return states, kept

    @staticmethod
    def longest_open(
        chunk: str, min_residues: int
    ) -> tuple[str, list[tuple[str, str, str]], tuple[int, int] | None]:
        """Not the original's: our rule longest_open, codon by codon.

        Return the state letters, the frames to embed, and the forward span of a partial one.
        """
        states, kept = Original.frames(chunk)
        best: tuple[int, str, int, int, str] | None = (
            None  # residues, frame, codons from, to, protein
        )
        for frame in () if kept else ("F1", "F2", "F3", "R1", "R2", "R3"):
            strand = chunk.upper()
            if frame[0] == "R":
                strand = "".join(
                    {"A": "T", "C": "G", "G": "C", "T": "A"}.get(c, c) for c in strand[::-1]
                )
            strand = strand[int(frame[1]) - 1 :]
            codons = [CODONS.get(strand[i : i + 3], "") for i in range(0, len(strand) - 2, 3)]
            stops = [-1, *(i for i, residue in enumerate(codons) if residue == "*"), len(codons)]
            for before, after in itertools.pairwise(stops):
                protein = "".join(codons[before + 1 : after])
                if len(protein) >= min_residues and (best is None or len(protein) > best[0]):
                    best = (len(protein), frame, before + 1, after, protein)
        if best is None:
            return states, kept, None
        length, frame, first, after, protein = best
        offset = int(frame[1]) - 1
        strand = chunk.upper()
        start, end = offset + 3 * first, offset + 3 * after
        if frame[0] == "R":
            strand = "".join(
                {"A": "T", "C": "G", "G": "C", "T": "A"}.get(c, c) for c in strand[::-1]
            )
        dna = strand[start : start + 3 * length + 1]
        n = ("F1", "F2", "F3", "R1", "R2", "R3").index(frame)
        letter = "p" if length == after - first else "q"
        states = states[:n] + letter + states[n + 1 :]
        span = (start, end) if frame[0] == "F" else (len(chunk) - end, len(chunk) - start)
        return states, [(frame, dna, protein)], span


@pytest.fixture(scope="session")
def original() -> type[Original]:
    return Original


@pytest.fixture(scope="session")
def executables() -> dict[str, Callable[[list[str]], int]]:
    """The `main` of bin/vnp_split.py, vnp_translate.py, vnp_classify.py and vnp_summarise.py."""
    names = ("split", "translate", "classify", "summarise")
    return {n: runpy.run_path(str(ROOT / f"bin/vnp_{n}.py"))["main"] for n in names}


@pytest.fixture
def split_and_translate(executables, tmp_path, monkeypatch):
    """Run SPLIT and TRANSLATE of a sample in a folder of its own; return the folder.

    The first status that is not 0 is raised as SystemExit.
    """

    def run(*inputs, sample="s", chunk_bp=500, ends=None, shard_tokens=0, folder="task"):
        out = tmp_path / folder
        out.mkdir()
        monkeypatch.chdir(out)
        argv = ["--sample", sample, "--inputs", *map(str, inputs)]
        argv += ["--ends", ends or "0" * len(inputs), "--chunk-length", str(chunk_bp)]
        status = executables["split"]([*argv, "--shard-tokens", str(shard_tokens)])
        for line in (out / f"{sample}.shards.tsv").read_text().splitlines()[1:] * (status == 0):
            shard = line.split("\t")[0]
            status |= executables["translate"](
                ["--shard", shard, "--chunks", f"{shard}.chunks.fna"]
            )
        if status:
            raise SystemExit(status)
        return out

    return run
