"""Train the classifier on the embeddings of frozen encoders: features [F, D] -> other / virus.

Two recipes. `adamw` is ours; `original` repeats the original's optimiser and schedule. Both keep
the weights of the best epoch by validation frames, which the original means to do and does not: it
keeps a reference, and so the weights of the last epoch.

The same seed, numbers of threads and machine give the same bytes.
"""

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from virnucpro.training.examples import Examples
from virnucpro.training.measures import auroc, chunk_scores
from virnucpro.training.mlp import Mlp, unscaled

EVAL_ROWS = 4096
SMALLEST_SPREAD = 1e-6  # a number that is the same in all frames is not scaled up

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes:
        optimizer: "adamw" or "sgd" (momentum 0.9).
        rate: at the start; after each `rate_epochs` epochs it is multiplied by `rate_factor`.
        max_epochs: at most; patience: epochs in a row without a better one, before it ends.
        criterion: of the best epoch, on validation chunks: "auroc", or "loss" of their frames.
        standardise: whether each number of the vectors gets mean 0 and deviation 1 first. That is
            folded into the first layer of the classifier afterwards.
        by_chunk: whether chunks weigh the same, whatever their number of frames, or frames.
    """

    optimizer: str
    rate: float
    weight_decay: float
    rate_epochs: int
    rate_factor: float
    batch: int
    max_epochs: int
    patience: int
    criterion: str
    standardise: bool
    by_chunk: bool


RECIPES = {
    "adamw": Recipe("adamw", 1e-3, 0.01, 5, 0.7, 256, 60, 8, "auroc", True, True),
    "original": Recipe("sgd", 2e-4, 0.0, 10, 0.85, 32, 200, 5, "loss", False, False),
}


@dataclass(frozen=True)
class Epoch:
    """An epoch and what its weights reach on the validation frames."""

    epoch: int
    rate: float
    train_loss: float
    val_loss: float
    val_auroc: float
    val_accuracy: float


@dataclass(frozen=True)
class Trained:
    """A trained classifier.

    Attributes:
        tensors: as scoring/classifier.py stores them, of the best epoch.
        history: of all epochs; best: the one kept.
    """

    tensors: dict[str, NDArray[np.float32]]
    history: list[Epoch]
    best: Epoch


def train_classifier(
    train: Examples,
    val: Examples,
    recipe: Recipe,
    seed: int,
    threads: int,
    *,
    by_class: bool = False,
) -> Trained:
    """Return the classifier of the best epoch.

    Args:
        train: to learn from; val: to choose the epoch with.
        recipe: how.
        seed: of the first weights, the dropout and the order.
        threads: of torch; another number may change the last bits.
        by_class: whether the classes of a label weigh the same; both labels always do.
    """
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(seed)
    mean, spread = _scale(train.features) if recipe.standardise else (0.0, 1.0)
    model = Mlp(train.features.shape[1])
    optimizer = _optimizer(model, recipe)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, recipe.rate_epochs, recipe.rate_factor)
    features = torch.from_numpy((train.features - mean) / spread)
    weights = torch.from_numpy(frame_weights(train, recipe, by_class=by_class))
    labels = torch.from_numpy(train.labels[train.chunk])
    val_features = torch.from_numpy((val.features - mean) / spread)
    val_weights = frame_weights(val, recipe, by_class=by_class)

    history: list[Epoch] = []
    best: Epoch | None = None
    best_state: dict[str, Tensor] = {}
    while len(history) < recipe.max_epochs:
        rate = optimizer.param_groups[0]["lr"]
        model.train()
        losses = []
        for rows in _batches(len(labels), recipe.batch):
            entropy = F.cross_entropy(model(features[rows]), labels[rows], reduction="none")
            loss = (weights[rows] * entropy).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        schedule.step()
        measured = _measure(val, _logits(model, val_features), val_weights)
        epoch = Epoch(len(history) + 1, rate, float(np.mean(losses)), *measured)
        history.append(epoch)
        if best is None or _is_better(epoch, best, recipe.criterion):
            best = epoch
            best_state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        log.info(
            "epoch %d: loss %.4f, val loss %.4f, AUROC %.4f, accuracy %.4f%s",
            epoch.epoch, epoch.train_loss, epoch.val_loss, epoch.val_auroc, epoch.val_accuracy,
            " (best)" if best is epoch else "",
        )  # fmt: skip
        if epoch.epoch - best.epoch >= recipe.patience:
            break
    assert best
    return Trained(unscaled(best_state, mean, spread), history, best)


def frame_weights(
    examples: Examples, recipe: Recipe, *, by_class: bool = False
) -> NDArray[np.float32]:
    """Return the weight of each frame, 1 on average; both labels weigh the same."""
    frames_of = np.bincount(examples.chunk, minlength=len(examples.rows))
    chunk_weights = np.ones(len(frames_of)) if recipe.by_chunk else frames_of.astype(float)
    names = [(row.label, row.kind) for row in examples.rows]
    for of_label in (False, True) if by_class else (True,):  # labels last: they must be even
        keys = [name[:1] if of_label else name for name in names]
        total: Counter[tuple[str, ...]] = Counter()
        for key, weight in zip(keys, chunk_weights.tolist(), strict=True):
            total[key] += weight  # type: ignore[assignment]
        chunk_weights = chunk_weights / np.array([total[key] for key in keys])
    weights = (chunk_weights / frames_of)[examples.chunk]
    return (weights / weights.mean()).astype(np.float32)


def _scale(features: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    spread = features.std(0, dtype=np.float64)
    spread[spread < SMALLEST_SPREAD] = 1
    return features.mean(0, dtype=np.float64).astype(np.float32), spread.astype(np.float32)


def _optimizer(model: Mlp, recipe: Recipe) -> torch.optim.Optimizer:
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(model.parameters(), recipe.rate, momentum=0.9)
    return torch.optim.AdamW(model.parameters(), recipe.rate, weight_decay=recipe.weight_decay)


def _batches(num_frames: int, batch: int) -> Iterator[Tensor]:
    """Yield the numbers of all frames in a random order; a last one alone joins those before it.

    Batch norm has no deviation of a single frame.
    """
    order = torch.randperm(num_frames)
    starts = list(range(0, num_frames, batch))
    if len(starts) > 1 and num_frames - starts[-1] == 1:
        starts.pop()
    for start, end in zip(starts, [*starts[1:], num_frames], strict=True):
        yield order[start:end]


@torch.inference_mode()
def _logits(model: Mlp, features: Tensor) -> NDArray[np.float32]:
    """Return [F, 2]."""
    model.eval()
    return np.concatenate([model(part).numpy() for part in features.split(EVAL_ROWS)])


def _measure(
    val: Examples, logits: NDArray[np.float32], weights: NDArray[np.float32]
) -> tuple[float, float, float]:
    """Return loss of frames, AUROC and accuracy of chunks."""
    frame_labels = torch.from_numpy(val.labels[val.chunk])
    losses = F.cross_entropy(torch.from_numpy(logits), frame_labels, reduction="none").numpy()
    scores = chunk_scores(val.chunk, logits[:, 1] - logits[:, 0])
    accuracy = ((scores >= 0) == (val.labels == 1)).mean()
    return float((weights * losses).mean()), auroc(val.labels, scores), float(accuracy)


def _is_better(epoch: Epoch, best: Epoch, criterion: str) -> bool:
    if criterion == "loss":
        return epoch.val_loss < best.val_loss
    return epoch.val_auroc > best.val_auroc
