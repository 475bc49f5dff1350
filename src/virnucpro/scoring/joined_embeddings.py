"""Both embeddings of the frames of a shard, joined by id."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from virnucpro.checksums import damaged
from virnucpro.embeddings.store import Provenance, read_embeddings, read_no_vector
from virnucpro.errors import InputError, excerpt
from virnucpro.sequences.frames_file import read_frames
from virnucpro.sequences.no_vector import HAS_VECTOR, NO_VECTOR_REASONS, SENTENCES

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EmbeddingsFile:
    """An HDF5 of embeddings, and what it must have been made from.

    Attributes:
        encoder_sha256: digest of the encoder's component file in the model set; None: any.
        tokenizer_sha256: likewise of its tokenizer; ESM-2 has none.
        frames_sha256: of the frame file; None: any.
    """

    path: Path
    encoder_sha256: str | None = None
    tokenizer_sha256: str | None = None
    frames_sha256: str | None = None


@dataclass(frozen=True)
class JoinedEmbeddings:
    """The frames of a shard with both embeddings, in the order of its frame file.

    Attributes:
        dna, protein: float32 [n, d]; a row without a vector is NaN.
        no_vector: uint8 [n], why a frame lacks one of them (sequences/no_vector.py), the DNA's
            reason first.
    """

    ids: list[str]
    dna: NDArray[np.float32]
    protein: NDArray[np.float32]
    no_vector: NDArray[np.uint8]

    def refuse_missing(self, remedy: str) -> None:
        """Raise an InputError that names the first frame without a vector, if there is one."""
        if len(rows := np.flatnonzero(self.no_vector != HAS_VECTOR)):
            reason = NO_VECTOR_REASONS[self.no_vector[rows[0]]]
            raise InputError(
                f"frame {excerpt(self.ids[rows[0]])}: {SENTENCES[reason]} ({len(rows)} of the "
                f"{len(self.ids)} frames of its shard have no vector). {remedy}"
            )


def join_embeddings(frames: Path, dna: EmbeddingsFile, protein: EmbeddingsFile) -> JoinedEmbeddings:
    """Return the frames of a frame file with both embeddings.

    Raises: DamagedFileError when an embedding is missing or not of one of the frames, when it is
        not of the model set's encoder and tokenizer or of these frames, or when two versions of the
        code made the embeddings.
    """
    ids, _ = read_frames(frames)
    dna_rows, dna_missing, dna_origin = _rows_of(ids, frames, dna)
    protein_rows, protein_missing, protein_origin = _rows_of(ids, frames, protein)
    if dna_origin.library_digest != protein_origin.library_digest:
        raise damaged(
            dna.path,
            f"was made by the library {dna_origin.library_digest[:12]}, but "
            f"{protein.path.resolve()} by {protein_origin.library_digest[:12]}. One is of another "
            "run: if it is the latter, remove its folder instead",
        )
    # These differ where --device auto meets nodes with and without a GPU; both are valid vectors.
    for key in ("device", "precision", "torch"):
        values = [origin.numerics.get(key) for origin in (dna_origin, protein_origin)]
        if values[0] != values[1]:
            log.info(
                "%s and %s differ in %s: %s, %s", dna.path.name, protein.path.name, key, *values
            )
    no_vector = np.where(dna_missing != HAS_VECTOR, dna_missing, protein_missing)
    return JoinedEmbeddings(ids, dna_rows, protein_rows, no_vector)


def _rows_of(
    ids: list[str], frames: Path, source: EmbeddingsFile
) -> tuple[NDArray[np.float32], NDArray[np.uint8], Provenance]:
    """Return embeddings float32 [n, d] of the frames `ids`, why one is missing, and the origin."""
    stored_ids, vectors, provenance = read_embeddings(source.path)
    no_vector = read_no_vector(source.path)
    for part, wanted, used in (
        ("encoder", source.encoder_sha256, provenance.component_sha256),
        ("tokenizer", source.tokenizer_sha256, provenance.tokenizer_sha256),
    ):
        if wanted not in (None, used):
            raise damaged(
                source.path,
                f"was made by the {part} {used[:12] or '(none)'}…, the model set has "
                f"{wanted[:12]}…",
            )
    if stored_ids != ids:
        missing, extra = set(ids) - set(stored_ids), set(stored_ids) - set(ids)
        if missing or extra:
            raise damaged(
                source.path,
                f"holds other frames than {frames.name}: {len(missing)} without an embedding "
                f"({_some(missing)}), {len(extra)} unknown ({_some(extra)})",
            )
        row = {frame_id: n for n, frame_id in enumerate(stored_ids)}
        order = [row[frame_id] for frame_id in ids]
        vectors, no_vector = vectors[order], no_vector[order]
    if source.frames_sha256 not in (None, provenance.frames_sha256):
        raise damaged(source.path, "was made from other sequences than those of this run")
    return vectors, no_vector, provenance


def _some(ids: set[str]) -> str:
    return ", ".join(map(excerpt, sorted(ids)[:3])) or "none"
