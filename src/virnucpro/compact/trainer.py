"""Train a compact network end to end.

Loss: cross-entropy of the frames, labelled as their window, and of the mean of a window's largest
and smallest logit, whose sign is the original's consensus.
"""

import dataclasses
import logging
import math
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from virnucpro.compact.frame_pool import FramePool, ranges, window_scores
from virnucpro.compact.network import Network, logits
from virnucpro.compact.recipe import CompactRecipe
from virnucpro.compact.windows import field_weights
from virnucpro.files import atomic_write
from virnucpro.training.measures import auroc

MAX_GRADIENT_NORM = 1.0

log = logging.getLogger(__name__)


class Trainer:
    """One training run; `run` does it and leaves the averaged weights in `network`.

    A run that was cut off continues from its last checkpoint as if it had not been: each step draws
    from the seed and its own number.
    """

    def __init__(
        self,
        recipe: CompactRecipe,
        train: FramePool,
        val: FramePool | None,
        seed: int,
        device: torch.device,
        checkpoint: Path | None = None,
        teacher: NDArray[np.float32] | None = None,
    ) -> None:
        """Build a network.

        Args:
            recipe: sizes and schedule.
            train, val: on the device. Val chooses nothing; without it nothing is measured.
            seed: of everything that is drawn.
            device: to train on.
            checkpoint: file to continue from and to write; None: no checkpoints.
            teacher: float32 [frames of train], p_virus by the teacher.
        """
        torch.manual_seed(seed)
        self._recipe, self._train, self._val, self._seed = recipe, train, val, seed
        self._device, self._checkpoint = device, checkpoint
        frames = train.frames
        self._bags = torch.from_numpy(
            draw_bags(frames.windows.groups, recipe.members, recipe.bagging_fraction, seed)
        ).to(device)
        self._first_frame = np.searchsorted(frames.window, np.arange(len(frames.is_open) + 1))
        self._with_frames = np.unique(frames.window)
        labels = frames.windows.labels[frames.window].astype(np.float32)
        if teacher is not None:
            weight = recipe.distillation_weight
            labels = (1 - weight) * labels + weight * teacher
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
            log.info("continuing from step %d", done)
        start = time.monotonic()
        for step in range(done + 1, recipe.steps + 1):
            torch.manual_seed(int(np.random.default_rng([self._seed, step]).integers(2**62)))
            network.train()
            loss = self._loss(self._windows_of(step))
            for group in optimizer.param_groups:
                group["lr"] = recipe.peak_lr * lr_factor(step - 1, recipe)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), MAX_GRADIENT_NORM)
            optimizer.step()
            _average(averaged, network, min(recipe.ema_decay, step / (step + 10)))
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
        windows = self._val.frames.windows
        scores = window_scores(self._val.frames, logits(network, self._val))
        value = auroc(windows.labels, scores, field_weights(windows))
        return f", AUROC {value:.4f} of validation windows weighted as in the field"

    def _windows_of(self, step: int) -> NDArray[np.int64]:
        """Return the windows of a step; each comes once before one comes again."""
        size = min(self._recipe.windows_per_step, len(self._with_frames))
        steps_of_epoch = len(self._with_frames) // size
        epoch, place = divmod(step - 1, steps_of_epoch)
        shuffled = np.random.default_rng([self._seed, epoch, 1]).permutation(self._with_frames)
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
        shares = self._bags[torch.from_numpy(windows).to(self._device)]
        shares = shares / shares.sum(0).clamp_min(1)
        dna, protein, composition = self._train.take(rows)
        dna, protein = (
            dataclasses.replace(tokens, ids=corrupted(tokens.ids, recipe.token_corruption_rate))
            for tokens in (dna, protein)
        )
        members, encoders = self.network(dna, protein, composition)  # [F, M], [F]

        targets = self._targets[torch.from_numpy(rows).to(self._device)]
        of_frames = _losses(members, targets) * shares[of_window] / num_frames[:, None]
        zeros = members.new_zeros(shares.shape)
        where = of_window[:, None].expand_as(members)
        largest = zeros.scatter_reduce(0, where, members, "amax", include_self=False)
        smallest = zeros.scatter_reduce(0, where, members, "amin", include_self=False)
        target = zeros[:, 0].scatter_reduce(0, of_window, targets, "mean", include_self=False)
        of_windows = _losses((largest + smallest) / 2, target) * shares
        alone = _losses(encoders[:, None], targets)[:, 0] / num_frames / len(windows)
        weight = recipe.window_loss_weight
        ensemble = (1 - weight) * of_frames.sum() + weight * of_windows.sum()
        return ensemble / recipe.members + recipe.encoder_loss_weight * alone.sum()


def _losses(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the cross-entropy of each logit [N, M] with the target of its row [N]."""
    targets = targets[:, None].expand_as(logits)
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none")


def draw_bags(
    groups: Sequence[str], members: int, fraction: float, seed: int
) -> NDArray[np.float32]:
    """Return float32 [len(groups), members]: 1 where a member learns from a window, else 0.

    The same members learn from all windows of a group: round(fraction * members), drawn at random.
    """
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    order = np.random.default_rng([seed, 2]).random((group.max() + 1, members)).argsort(axis=1)
    return (order < round(fraction * members)).astype(np.float32)[group]


@torch.no_grad()
def _average(averaged: Network, network: Network, decay: float) -> None:
    # the running statistics of the norms are averages already
    for old, new in zip(averaged.parameters(), network.parameters(), strict=True):
        old.lerp_(new, 1 - decay)
    for mean, newer in zip(averaged.buffers(), network.buffers(), strict=True):
        mean.copy_(newer)


def corrupted(ids: Tensor, rate: float) -> Tensor:
    """Return ids [T] where about that share is replaced by another token of the batch.

    First and last tokens of sequences stay; the batch starts with the one and ends with the other.
    """
    donors = ids[torch.randperm(len(ids), device=ids.device)]
    chosen = torch.rand(len(ids), device=ids.device) < rate
    for edge in (ids[0], ids[-1]):
        chosen &= (ids != edge) & (donors != edge)
    return torch.where(chosen, donors, ids)


def lr_factor(step: int, recipe: CompactRecipe) -> float:
    """Return the share of the peak learning rate: a linear rise, then half a cosine to 0."""
    if step < recipe.warmup_steps:
        return (step + 1) / recipe.warmup_steps
    done = (step - recipe.warmup_steps) / max(1, recipe.steps - recipe.warmup_steps)
    return (1 + math.cos(math.pi * done)) / 2


def _optimizer(network: Network, recipe: CompactRecipe) -> torch.optim.Optimizer:
    """Return AdamW; biases and norms do not decay."""
    matrices = [p for p in network.parameters() if p.ndim >= 2]
    vectors = [p for p in network.parameters() if p.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": recipe.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.peak_lr, betas=(0.9, 0.98))
