"""CLASSIFY: both embeddings of a shard's frames, joined by id, become scores."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from virnucpro.checksums import UNCHECKED, Checksums
from virnucpro.errors import InputError
from virnucpro.scoring.classifier import load_classifier
from virnucpro.scoring.composition_features import COMPOSITION_WIDTH, composition_features
from virnucpro.scoring.joined_embeddings import EmbeddingsFile, join_embeddings
from virnucpro.scoring.scores_file import write_scores
from virnucpro.sequences.frames_file import read_frames
from virnucpro.sequences.no_vector import HAS_VECTOR, NO_VECTOR_REASONS


def classify_shard(
    frames: Path,
    dna_frames: Path,
    dna: EmbeddingsFile,
    protein: EmbeddingsFile,
    classifier: Path,
    classifier_sha256: str | None,
    out: Path,
    checksums: Checksums = UNCHECKED,
    *,
    strict: bool = False,
) -> int:
    """Write the score table of a shard, in the order of its frame file; return the frame count.

    A frame without a vector has the reason in the table instead of scores.

    Args:
        frames: its protein frames; dna_frames: its DNA frames, for composition features.
        dna, protein: its embeddings.
        classifier: component file; classifier_sha256: that it must have; None: any.
        out: the table.
        checksums: of the frame files.
        strict: refuse a frame without a vector.
    Raises: InputError as join_embeddings, and when the widths do not fit the classifier.
    """
    checksums.checked(frames)
    dna = replace(dna, frames_sha256=checksums.expected(dna_frames.name))
    protein = replace(protein, frames_sha256=checksums.expected(frames.name))
    joined = join_embeddings(frames, dna, protein)
    if strict:
        joined.refuse_missing("Omit its sequence, or run without --strict, which leaves it out.")
    has_vector = joined.no_vector == HAS_VECTOR
    dna_rows, protein_rows = joined.dna[has_vector], joined.protein[has_vector]
    model = load_classifier(classifier, classifier_sha256)
    composition_width = COMPOSITION_WIDTH if model.takes_composition else 0
    width = dna_rows.shape[1] + protein_rows.shape[1] + composition_width
    if width != model.input_width:
        raise InputError(
            f"{classifier.name}: takes {model.input_width} numbers a frame, but the encoders give "
            f"{dna_rows.shape[1]} + {protein_rows.shape[1]}"
            + (f", and composition features {composition_width}" if composition_width else "")
            + ". They are of different model sets."
        )
    composition = None
    if model.takes_composition:
        composition = _composition(frames, checksums.checked(dna_frames))[has_vector]
    scores = np.full((len(joined.ids), 2), np.nan, np.float32)
    scores[has_vector] = model.scores(dna_rows, protein_rows, composition)
    write_scores(out, joined.ids, scores, [NO_VECTOR_REASONS[n] for n in joined.no_vector])
    return len(joined.ids)


def _composition(frames: Path, dna_frames: Path) -> NDArray[np.float32]:
    """Return the composition features of a shard's frames, in the order of the protein file."""
    (ids, protein), (dna_ids, dna) = read_frames(frames), read_frames(dna_frames)
    if dna_ids != ids:
        raise InputError(
            f"{dna_frames.name} and {frames.name} hold different frames. Translate the shard again."
        )
    return composition_features(dna, protein)
