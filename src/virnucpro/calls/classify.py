"""CLASSIFY: both embeddings of a shard's frames, joined by id, become scores."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from virnucpro.calls.classifier import load_classifier
from virnucpro.calls.scores_file import write_scores
from virnucpro.embeddings.store import read_embeddings
from virnucpro.errors import InputError
from virnucpro.sequences.frames_file import read_frames


@dataclass(frozen=True)
class EmbeddingsFile:
    """An HDF5 of embeddings and the encoder that must have made it.

    Attributes:
        encoder_sha256: digest of the encoder's component file in the model set; None: any.
    """

    path: Path
    encoder_sha256: str | None = None


def classify_shard(
    frames: Path,
    dna: EmbeddingsFile,
    protein: EmbeddingsFile,
    classifier: Path,
    classifier_sha256: str | None,
    out: Path,
) -> int:
    """Write the score table of a shard, in the order of its frame file; return the frame count.

    Raises: InputError when an embedding is missing or too many, when an encoder is not the model
        set's, or when the widths do not fit the classifier.
    """
    ids, _ = read_frames(frames)
    dna_rows = _rows_of(ids, frames, dna)
    protein_rows = _rows_of(ids, frames, protein)
    model = load_classifier(classifier, classifier_sha256)
    width = dna_rows.shape[1] + protein_rows.shape[1]
    if width != model.input_width:
        raise InputError(
            f"{classifier.name}: takes {model.input_width} numbers a frame, but the encoders give "
            f"{dna_rows.shape[1]} + {protein_rows.shape[1]}. They are of different model sets."
        )
    write_scores(out, ids, model.scores(dna_rows, protein_rows))
    return len(ids)


def _rows_of(ids: list[str], frames: Path, source: EmbeddingsFile) -> NDArray[np.float32]:
    """Return the embeddings float32 [n, d] of the frames `ids`, in their order."""
    found, vectors, provenance = read_embeddings(source.path)
    if source.encoder_sha256 not in (None, provenance.component_sha256):
        raise InputError(
            f"{source.path.name}: was made by the encoder {provenance.component_sha256[:12]}…, the "
            f"model set has {source.encoder_sha256[:12]}…. Embed the shard again."
        )
    if found == ids:
        return vectors
    missing, extra = set(ids) - set(found), set(found) - set(ids)
    if missing or extra:
        raise InputError(
            f"{source.path.name} and {frames.name} hold different frames: {len(missing)} without "
            f"an embedding ({_some(missing)}), {len(extra)} unknown ({_some(extra)}). "
            "Embed the shard again."
        )
    row = {frame_id: n for n, frame_id in enumerate(found)}
    return vectors[[row[frame_id] for frame_id in ids]]


def _some(ids: set[str]) -> str:
    return ", ".join(sorted(ids)[:3]) or "none"
