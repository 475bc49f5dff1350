"""Real open frames to measure with: from the user's files or the demo's contigs."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from virnucpro.errors import InputError
from virnucpro.sequences.frames_file import read_frames
from virnucpro.sequences.reader import InputFile, read_records
from virnucpro.sequences.translation import translate_chunks

NUM_FRAMES = 2000
DEMO = Path(__file__).resolve().parents[3] / "assets" / "demo"
# Between windows of the demo's contigs, which have few chunks. Not a multiple of 3, so that
# neighbouring windows start in different phases.
STEP_BP = 17
SUFFIXES = (".faa", ".fna")


@dataclass(frozen=True)
class RealFrames:
    """Frames as DNA and as protein, in the same order.

    Attributes:
        source: where they come from, for messages.
    """

    source: str
    dna: list[str]
    protein: list[str]


def real_frames(path: Path | None, chunk_bp: int) -> RealFrames:
    """Return up to NUM_FRAMES frames, spread evenly over the source.

    Args:
        path: X.faa or X.fna with the other beside it, same ids in the same order, as written by
            TRANSLATE; None for the demo's contigs.
        chunk_bp: length of the windows that the demo's contigs are cut into.
    Raises: InputError when a file is missing, or the files do not belong together.
    """
    frames = _of_demo(chunk_bp) if path is None else _of_files(path)
    if not frames.dna:
        raise InputError(f"{frames.source}: has no frame. Give another file to --frames.")
    rows = np.linspace(0, len(frames.dna) - 1, min(NUM_FRAMES, len(frames.dna))).round().astype(int)
    return RealFrames(
        frames.source, [frames.dna[i] for i in rows], [frames.protein[i] for i in rows]
    )


def _of_files(path: Path) -> RealFrames:
    if path.suffix not in SUFFIXES:
        raise InputError(f"--frames {path}: the name must end in .faa or .fna.")
    files = {suffix: path.with_suffix(suffix) for suffix in SUFFIXES}
    for file in files.values():
        if not file.exists():
            raise InputError(
                f"--frames {path}: {file} is missing. Both encoders are measured: give the frames "
                "as DNA (.fna) and as protein (.faa), side by side."
            )
    (dna_ids, dna), (protein_ids, protein) = read_frames(files[".fna"]), read_frames(files[".faa"])
    if dna_ids != protein_ids:
        raise InputError(
            f"--frames {path}: {files['.fna'].name} and {files['.faa'].name} have different "
            "frames. Give two files of one TRANSLATE task."
        )
    return RealFrames(str(path), dna, protein)


def _of_demo(chunk_bp: int) -> RealFrames:
    contigs = sorted(DEMO.glob("contigs_*.fa.gz"))
    if not contigs:
        raise InputError(f"{DEMO}: does not exist in this installation. Give --frames.")
    windows = [
        record.sequence[start : start + chunk_bp]
        for contig in contigs
        for record in read_records(InputFile(contig))
        for start in range(0, max(1, len(record.sequence) - chunk_bp + 1), STEP_BP)
    ]
    chunks = translate_chunks([str(n) for n in range(len(windows))], windows)
    frames = [frame for chunk in chunks for frame in chunk.frames]
    return RealFrames("demo", [frame.dna for frame in frames], [frame.protein for frame in frames])
