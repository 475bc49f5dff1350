"""The frames of windows, with tokens and composition features on the device that trains."""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from virnucpro.compact.windows import Windows
from virnucpro.models.packing import PackedBatch, packed_batch
from virnucpro.models.tokenizers import Ids, Tokenizer
from virnucpro.scoring.composition_features import composition_features
from virnucpro.sequences.translation import MIN_RESIDUES, translate_chunks
from virnucpro.training.measures import chunk_scores

WINDOWS_PER_JOB = 5000


@dataclass(frozen=True)
class Frames:
    """Frames of windows, by the rule `longest_open`; those of one window are neighbours.

    Attributes:
        windows: that they are of.
        dna: nucleotides of each frame; protein: its residues.
        window: int64 [frames], ascending: the window of each.
        is_open: bool [windows], whether its frames are open ones; False without a frame as well.
    """

    windows: Windows
    dna: list[str]
    protein: list[str]
    window: NDArray[np.int64]
    is_open: NDArray[np.bool_]


@dataclass(frozen=True)
class PackedTokens:
    """Sequences end to end, shortest first; `order` [B] brings vectors back to the given order."""

    ids: Tensor
    batch: PackedBatch
    order: Tensor


def window_scores(frames: Frames, logits: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the score of each window out of the logits of all frames; without a frame it is 0."""
    with_frames, chunk = np.unique(frames.window, return_inverse=True)
    scores = np.zeros(len(frames.is_open))
    scores[with_frames] = chunk_scores(chunk, logits)
    return scores


def frames_of(windows: Windows, processes: int = 1) -> Frames:
    """Translate windows."""
    jobs = [
        windows.sequences[start : start + WINDOWS_PER_JOB]
        for start in range(0, len(windows.sequences), WINDOWS_PER_JOB)
    ]
    if processes > 1:
        with ProcessPoolExecutor(processes) as pool:
            parts = list(pool.map(_translate, jobs))
    else:
        parts = [_translate(job) for job in jobs]
    num_frames = np.concatenate([num_frames for _, _, num_frames, _ in parts])
    return Frames(
        windows,
        [frame for dna, _, _, _ in parts for frame in dna],
        [frame for _, protein, _, _ in parts for frame in protein],
        np.repeat(np.arange(len(num_frames)), num_frames),
        np.concatenate([is_open for _, _, _, is_open in parts]),
    )


def _translate(
    sequences: list[str],
) -> tuple[list[str], list[str], NDArray[np.int64], NDArray[np.bool_]]:
    """Return DNA and protein of the frames, and for each sequence their number and `is_open`."""
    chunks = translate_chunks([str(i) for i in range(len(sequences))], sequences, MIN_RESIDUES)
    frames = [frame for chunk in chunks for frame in chunk.frames]
    num_frames = np.array([len(chunk.frames) for chunk in chunks])
    is_open = np.array([chunk.partial is None and bool(chunk.frames) for chunk in chunks])
    return [frame.dna for frame in frames], [frame.protein for frame in frames], num_frames, is_open


class FramePool:
    """What a network takes of each frame, on a device.

    Attributes:
        composition: float32 [frames, COMPOSITION_WIDTH].
    """

    def __init__(
        self, frames: Frames, bpe: Tokenizer, esm: Tokenizer, device: torch.device
    ) -> None:
        """Tokenise frames and compute their composition features."""
        self.frames = frames
        self.dna = _Tokens(bpe.encode(frames.dna), device)
        self.protein = _Tokens(esm.encode(frames.protein), device)
        composition = composition_features(frames.dna, frames.protein)
        self.composition = torch.from_numpy(composition).to(device)
        self._device = device

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.frames.dna)

    def take(self, rows: NDArray[np.int64]) -> tuple[PackedTokens, PackedTokens, Tensor]:
        """Return DNA tokens, protein tokens and composition features of frames."""
        composition = self.composition[torch.from_numpy(rows).to(self._device)]
        return self.dna.take(rows), self.protein.take(rows), composition


def ranges(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return start, start + 1, ... of each of n ranges, end to end: int64 [sum of lengths]."""
    shift = starts - (np.cumsum(lengths) - lengths)
    return np.repeat(shift, lengths) + np.arange(lengths.sum())


class _Tokens:
    """Tokens of all sequences end to end, on the device."""

    def __init__(self, tokens: Sequence[Ids], device: torch.device) -> None:
        self.lengths = np.array([len(ids) for ids in tokens])
        self._starts = np.cumsum(self.lengths) - self.lengths
        self._ids = torch.from_numpy(np.concatenate(tokens).astype(np.int16)).to(device)

    def take(self, rows: NDArray[np.int64]) -> PackedTokens:
        by_length = np.argsort(self.lengths[rows], kind="stable")
        lengths = self.lengths[rows[by_length]]
        places = ranges(self._starts[rows[by_length]], lengths)
        device = self._ids.device
        return PackedTokens(
            self._ids[torch.from_numpy(places).to(device)].long(),
            packed_batch(lengths.tolist()).to(device),
            torch.from_numpy(np.argsort(by_length)).to(device),
        )
