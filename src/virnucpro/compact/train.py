"""Train a small model of the original's architecture end to end, from scratch.

    DNA of a frame      -> DNABERT-S -> mean over tokens   \\
    protein of a frame  -> ESM-2     -> mean over residues  >  [F, D] -> MLP -> other / virus
    both                -> counts (scoring/composition_features.py)  /

The original keeps its encoders frozen; ours are too small to have learnt a language, so they learn
the question itself. Loss: cross-entropy of the frames, labelled as their window, and of the mean of
a window's largest and smallest logit, whose sign is the original's consensus.

The MLP is an ensemble whose members each learn from other groups of sequences: that helps on
families which none has seen. One member takes the embeddings, the others the counts; where one MLP
takes both, embeddings that know the training sequences too well outvote the counts.
"""

import dataclasses
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from virnucpro.compact.ensemble import MlpEnsemble
from virnucpro.compact.frame_pool import FramePool, PackedTokens, ranges, window_scores
from virnucpro.compact.padded_attention import padded
from virnucpro.compact.windows import Windows, field_weights
from virnucpro.files import atomic_write
from virnucpro.models import dnabert_s, esm2
from virnucpro.models.component import Encoder
from virnucpro.scoring.composition_features import COMPOSITION_WIDTH
from virnucpro.training.measures import auroc
from virnucpro.training.mlp import HIDDEN, unscaled

EMBEDDING_STD = 0.1  # torch's 1 would keep Adam busy for long before a token's vector has changed
EVAL_FRAMES = 4096
MAX_GRADIENT_NORM = 1.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """Sizes and schedule of a training run.

    Attributes:
        members: MLPs of the ensemble; hidden: width of each, the original's.
        embedding_members: of them, those that take the embeddings; the others take the counts.
        taught_share: of the members that learn from a group of sequences.
        window_shares: shortest and longest window, as shares of the set's chunk length. Shorter
            ones teach more than those of full length alone (bench/LOG.md).
        corruption: share of tokens exchanged among the frames of a step.
        window_share: weight of the loss of windows; the rest is that of frames.
        encoder_share: weight of a loss of the encoders alone, which the counts would outrun.
        averaging: of the weights that are measured and stored, over the last steps.
        teacher_share: weight of the teacher's scores in the labels, where there is one.
    """

    esm2: esm2.Config
    dnabert_s: dnabert_s.Config
    members: int = 6
    embedding_members: int = 1
    hidden: int = HIDDEN
    taught_share: float = 2 / 3
    windows: int = 300_000
    window_shares: tuple[float, float] = (0.4, 1.0)
    steps: int = 3000
    warmup_steps: int = 100
    windows_per_step: int = 1024
    peak_rate: float = 1e-3
    weight_decay: float = 0.05
    corruption: float = 0.3
    window_share: float = 0.5
    encoder_share: float = 0.5
    averaging: float = 0.99
    teacher_share: float = 0.7
    steps_between_measures: int = 500


# Encoders of 1.5 MB and a classifier of 6 MB in half precision; larger encoders were no better.
RECIPE = Recipe(esm2.Config(2, 96, 6), dnabert_s.Config(1, 96, 6, 288, 4096))


class Network(nn.Module):
    """Both encoders, the counts and the head."""

    def __init__(self, recipe: Recipe) -> None:
        """Build it with fresh weights."""
        super().__init__()
        self.dnabert_s = dnabert_s.DnabertS(recipe.dnabert_s)
        self.esm2 = esm2.ESM2(recipe.esm2)
        width = recipe.dnabert_s.width + recipe.esm2.width
        self.encoders_alone = nn.Linear(width, 1)
        # counts have deviations of 1e-3 to 1e-1; `classifier` puts this into the first layer
        self.counts_norm = nn.BatchNorm1d(COMPOSITION_WIDTH, affine=False)
        is_embedding = torch.arange(width + COMPOSITION_WIDTH) < width
        takes_embeddings = torch.arange(recipe.members) < recipe.embedding_members
        self.head = MlpEnsemble(takes_embeddings[:, None] == is_embedding, recipe.hidden)
        for embedding in (self.dnabert_s.word_embeddings, self.esm2.embed_tokens):
            nn.init.normal_(embedding.weight, std=EMBEDDING_STD)

    def forward(
        self, dna: PackedTokens, protein: PackedTokens, counts: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return log p_virus - log p_other, float32: of each member [F, M], of the encoders [F]."""
        device = counts.device.type
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            vectors = [_embed(self.dnabert_s, dna), _embed(self.esm2, protein)]  # DNA first
        encoded = torch.cat(vectors, 1).float()
        features = torch.cat([encoded, self.counts_norm(counts)], 1)
        return self.head(features), self.encoders_alone(encoded).squeeze(1)

    def classifier(self) -> dict[str, NDArray[np.float32]]:
        """Return the tensors of the head for counts as they are, without their norm."""
        norm = self.counts_norm
        assert norm.running_mean is not None and norm.running_var is not None
        mean, variance = (t.double().cpu().numpy() for t in (norm.running_mean, norm.running_var))
        encoded = self.encoders_alone.in_features
        return unscaled(
            self.head.mean_state(),
            np.concatenate([np.zeros(encoded), mean]),
            np.concatenate([np.ones(encoded), np.sqrt(variance + norm.eps)]),
        )


def _embed(model: Encoder, tokens: PackedTokens) -> Tensor:
    """Return float32 [F, width], in the order in which the sequences were given."""
    hidden = model(tokens.ids, tokens.batch, padded)
    return model.pool(hidden, tokens.batch)[tokens.order]


@dataclass(frozen=True)
class Examples:
    """Windows and the pool of their frames."""

    windows: Windows
    pool: FramePool


class Trainer:
    """One training run; `run` does it and leaves the averaged weights in `network`.

    A run that was cut off goes on from its last checkpoint: each step draws from the seed and its
    own number.
    """

    def __init__(
        self,
        recipe: Recipe,
        train: Examples,
        val: Examples | None,
        seed: int,
        device: torch.device,
        checkpoint: Path | None = None,
        teacher: NDArray[np.float32] | None = None,
    ) -> None:
        """Build a network.

        Args:
            recipe: sizes and schedule.
            train, val: on the device. Nothing is chosen by val, and without it nothing measured.
            seed: of everything that is drawn.
            device: to train on.
            checkpoint: file to go on from and to write; None: no checkpoints.
            teacher: float32 [frames of train], p_virus by the teacher.
        """
        torch.manual_seed(seed)
        self._recipe, self._train, self._val, self._seed = recipe, train, val, seed
        self._device, self._checkpoint = device, checkpoint
        frames = train.pool.frames
        self._taught = torch.from_numpy(
            taught_members(train.windows.groups, recipe.members, recipe.taught_share, seed)
        ).to(device)
        self._first_frame = np.searchsorted(frames.window, np.arange(len(frames.is_open) + 1))
        self._framed = np.unique(frames.window)
        labels = train.windows.labels[frames.window].astype(np.float32)
        if teacher is not None:
            labels = (1 - recipe.teacher_share) * labels + recipe.teacher_share * teacher
        self._targets = torch.from_numpy(labels.astype(np.float32)).to(device)
        self.network = Network(recipe).to(device)

    def run(self) -> None:
        """Train."""
        recipe, network = self._recipe, self.network
        optimizer = _optimizer(network, recipe)
        averaged = Network(recipe).to(self._device)
        averaged.load_state_dict(network.state_dict())
        done = 0
        if self._checkpoint and self._checkpoint.exists():
            state = torch.load(self._checkpoint, self._device, weights_only=True)
            network.load_state_dict(state["network"])
            averaged.load_state_dict(state["averaged"])
            optimizer.load_state_dict(state["optimizer"])
            done = state["done"]
            log.info("going on from step %d", done)
        start = time.monotonic()
        for step in range(done + 1, recipe.steps + 1):
            torch.manual_seed(int(np.random.default_rng([self._seed, step]).integers(2**62)))
            network.train()
            loss = self._loss(self._windows_of(step))
            for group in optimizer.param_groups:
                group["lr"] = recipe.peak_rate * rate_factor(step - 1, recipe)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), MAX_GRADIENT_NORM)
            optimizer.step()
            _average(averaged, network, min(recipe.averaging, step / (step + 10)))
            if step % recipe.steps_between_measures and step < recipe.steps:
                continue
            log.info(
                "step %d of %d, loss %.3f%s, %.0f s",
                step, recipe.steps, loss.item(), self._measured(averaged), time.monotonic() - start,
            )  # fmt: skip
            self._save(network, averaged, optimizer, step)
        network.load_state_dict(averaged.state_dict())

    def _save(
        self, network: Network, averaged: Network, optimizer: torch.optim.Optimizer, done: int
    ) -> None:
        if not self._checkpoint:
            return
        state = {
            "network": network.state_dict(), "averaged": averaged.state_dict(),
            "optimizer": optimizer.state_dict(), "done": done,
        }  # fmt: skip
        with atomic_write(self._checkpoint) as temporary:
            torch.save(state, temporary)

    def _measured(self, network: Network) -> str:
        if self._val is None:
            return ""
        windows, pool = self._val.windows, self._val.pool
        scores = window_scores(pool.frames, logits(network, pool))
        found = auroc(windows.labels, scores, field_weights(windows))
        return f", AUROC {found:.4f} of validation windows weighted as in the field"

    def _windows_of(self, step: int) -> NDArray[np.int64]:
        """Return the windows of a step; each comes once before one comes again."""
        size = min(self._recipe.windows_per_step, len(self._framed))
        steps_of_epoch = len(self._framed) // size
        epoch, place = divmod(step - 1, steps_of_epoch)
        shuffled = np.random.default_rng([self._seed, epoch, 1]).permutation(self._framed)
        return np.sort(shuffled[place * size : (place + 1) * size])

    def _loss(self, windows: NDArray[np.int64]) -> Tensor:
        recipe = self._recipe
        first = self._first_frame[windows]
        frames_of_window = self._first_frame[windows + 1] - first
        rows = ranges(first, frames_of_window)
        place = np.repeat(np.arange(len(windows)), frames_of_window)
        of_window = torch.from_numpy(place).to(self._device)
        num_frames = torch.from_numpy(frames_of_window[place]).to(self._device)
        # [windows, M], columns of sum 1: a member's loss is the mean over what it learns from
        shares = self._taught[torch.from_numpy(windows).to(self._device)]
        shares = shares / shares.sum(0).clamp_min(1)
        dna, protein, counts = self._train.pool.take(rows)
        dna, protein = _corrupt(dna, recipe.corruption), _corrupt(protein, recipe.corruption)
        members, encoders = self.network(dna, protein, counts)  # [F, M], [F]

        targets = self._targets[torch.from_numpy(rows).to(self._device)]
        of_frames = _losses(members, targets) * shares[of_window] / num_frames[:, None]
        zeros = members.new_zeros(shares.shape)
        where = of_window[:, None].expand_as(members)
        largest = zeros.scatter_reduce(0, where, members, "amax", include_self=False)
        smallest = zeros.scatter_reduce(0, where, members, "amin", include_self=False)
        target = zeros[:, 0].scatter_reduce(0, of_window, targets, "mean", include_self=False)
        of_windows = _losses((largest + smallest) / 2, target) * shares
        alone = _losses(encoders[:, None], targets)[:, 0] / num_frames / len(windows)
        share = recipe.window_share
        ensemble = (1 - share) * of_frames.sum() + share * of_windows.sum()
        return ensemble / recipe.members + recipe.encoder_share * alone.sum()


def _losses(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the cross-entropy of each logit [N, M] with the target of its row [N]."""
    targets = targets[:, None].expand_as(logits)
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none")


def taught_members(
    groups: Sequence[str], members: int, share: float, seed: int
) -> NDArray[np.float32]:
    """Return float32 [len(groups), members]: 1 where a member learns from a window, else 0.

    All windows of a group teach the same members, round(share * members) of them, drawn at random.
    """
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    order = np.random.default_rng([seed, 2]).random((group.max() + 1, members)).argsort(axis=1)
    return (order < round(share * members)).astype(np.float32)[group]


@torch.inference_mode()
def logits(network: Network, pool: FramePool) -> NDArray[np.float32]:
    """Return log p_virus - log p_other of each frame of a pool, the mean of the members."""
    network.eval()
    parts = []
    for start in range(0, len(pool), EVAL_FRAMES):
        found, _ = network(*pool.take(np.arange(start, min(start + EVAL_FRAMES, len(pool)))))
        parts.append(found.mean(1).cpu().numpy())
    return np.concatenate(parts)


@torch.no_grad()
def _average(averaged: Network, network: Network, kept: float) -> None:
    # the running statistics of the norms are averages already
    for old, new in zip(averaged.parameters(), network.parameters(), strict=True):
        old.lerp_(new, 1 - kept)
    for mean, newer in zip(averaged.buffers(), network.buffers(), strict=True):
        mean.copy_(newer)


def _corrupt(tokens: PackedTokens, share: float) -> PackedTokens:
    return dataclasses.replace(tokens, ids=corrupted(tokens.ids, share))


def corrupted(ids: Tensor, share: float) -> Tensor:
    """Return ids [T] where about that share have another token of the batch in their place.

    First and last tokens of sequences stay; the batch starts with the one and ends with the other.
    """
    donors = ids[torch.randperm(len(ids), device=ids.device)]
    chosen = torch.rand(len(ids), device=ids.device) < share
    for edge in (ids[0], ids[-1]):
        chosen &= (ids != edge) & (donors != edge)
    return torch.where(chosen, donors, ids)


def rate_factor(step: int, recipe: Recipe) -> float:
    """Return the share of the peak learning rate: a linear rise, then half a cosine to 0."""
    if step < recipe.warmup_steps:
        return (step + 1) / recipe.warmup_steps
    done = (step - recipe.warmup_steps) / max(1, recipe.steps - recipe.warmup_steps)
    return (1 + math.cos(math.pi * done)) / 2


def _optimizer(network: Network, recipe: Recipe) -> torch.optim.Optimizer:
    """Return AdamW; biases and norms do not decay."""
    matrices = [p for p in network.parameters() if p.ndim >= 2]
    vectors = [p for p in network.parameters() if p.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": recipe.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.peak_rate, betas=(0.9, 0.98))
