"""What the files of a compact set give for labelled windows, run as the pipeline runs them."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from virnucpro.compact.frame_pool import Frames
from virnucpro.consensus.consensus import FrameScore, call_chunk, call_sequence
from virnucpro.engine.embed import embed
from virnucpro.engine.engine import Engine
from virnucpro.engine.load import load_engine, load_tokenizer
from virnucpro.model_sets.description import ModelSet
from virnucpro.models.tokenizers import Tokenizer
from virnucpro.scoring.classifier import Classifier, load_classifier
from virnucpro.scoring.composition_features import composition_features
from virnucpro.sequences.translation import OPEN_RULE
from virnucpro.training.chunk_table import ChunkRow
from virnucpro.training.evaluation import ScoredChunk
from virnucpro.training.measures import auroc

CLOSED, OPEN, PARTIAL = "ssssss", "osssss", "psssss"  # enough to tell these apart


@dataclass(frozen=True)
class StoredSet:
    """The encoders of a set with their tokenizers, and its classifier."""

    dnabert_s: tuple[Engine, Tokenizer]
    esm2: tuple[Engine, Tokenizer]
    classifier: Classifier

    def scores(self, frames: Frames) -> NDArray[np.float32]:
        """Return float32 [frames, 2]: p_other and p_virus."""
        dna = _vectors(*self.dnabert_s, frames.dna)
        protein = _vectors(*self.esm2, frames.protein)
        composition = None
        if self.classifier.takes_composition:
            composition = composition_features(frames.dna, frames.protein)
        return self.classifier.scores(dna, protein, composition)


def load_set(model_set: ModelSet, device: torch.device, precision: str = "fp32") -> StoredSet:
    """Load a set.

    Raises: InputError for a damaged component.
    """
    vocabulary, classifier = model_set.component("tokenizer"), model_set.component("classifier")

    def encoder(role: str) -> tuple[Engine, Tokenizer]:
        part = model_set.component(role)
        engine = load_engine(part.path, part.sha256, device, precision)
        tokenizer = load_tokenizer(engine.encoder, device, vocabulary.path, vocabulary.sha256)
        return engine, tokenizer

    mlp = load_classifier(classifier.path, classifier.sha256)
    return StoredSet(encoder("dnabert_s"), encoder("esm2"), mlp)


def scored_windows(frames: Frames, scores: NDArray[np.float32], rule: str) -> list[ScoredChunk]:
    """Return windows with the scores of their frames, under a frame rule."""
    of_window: list[list[FrameScore]] = [[] for _ in frames.is_open]
    for window, row in zip(frames.window.tolist(), scores.tolist(), strict=True):
        if rule != OPEN_RULE or frames.is_open[window]:
            of_window[window].append(FrameScore(*row))
    return [
        ScoredChunk(_row(frames, i, bool(window_scores)), window_scores)
        for i, window_scores in enumerate(of_window)
    ]


def sequences_auroc(chunks: list[ScoredChunk]) -> float:
    """Return the AUROC of whole sequences, pooled over their called chunks."""
    calls: dict[str, list] = {}
    labels: dict[str, int] = {}
    for chunk in chunks:
        if chunk.scores:
            calls.setdefault(chunk.row.sequence_id, []).append(call_chunk(chunk.scores))
            labels[chunk.row.sequence_id] = int(chunk.row.label == "viral")
    delta = np.array([call_sequence(chunk_calls).weighted_delta for chunk_calls in calls.values()])
    return auroc(np.array(list(labels.values())), delta)


def _row(frames: Frames, i: int, is_scored: bool) -> ChunkRow:
    windows = frames.windows
    label = "viral" if windows.labels[i] else "nonviral"
    states = OPEN if frames.is_open[i] else PARTIAL if is_scored else CLOSED
    sequence, group = str(windows.sequence_of[i]), windows.groups[i]
    length = len(windows.sequences[i])
    return ChunkRow(
        group, sequence, str(i), "", length, states, "", label, windows.kinds[i], group, "val"
    )


def _vectors(engine: Engine, tokenizer: Tokenizer, sequences: list[str]) -> NDArray[np.float32]:
    return embed(
        engine.model, tokenizer, sequences, engine.token_budget,
        exact=engine.exact, threads=torch.get_num_threads(),
    ).vectors  # fmt: skip
