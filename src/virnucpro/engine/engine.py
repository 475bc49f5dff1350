"""What embeds: a model, and the engine, a model with all that its vectors depend on."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from virnucpro.models.component import Encoder
from virnucpro.models.packing import PackedBatch


class Model(Protocol):
    """What embed needs of a model: an encoder, or another form of one (models.encoder)."""

    @property
    def width(self) -> int:
        """Return D, the numbers of a vector."""

    @property
    def dtype(self) -> torch.dtype:
        """Return the type of weights and activations."""

    @property
    def device(self) -> torch.device:
        """Return where the model computes."""

    def __call__(self, ids: Tensor, batch: PackedBatch) -> Tensor:
        """Return the hidden states [T, D] of token ids int64 [T]."""

    def pool(self, hidden: Tensor, batch: PackedBatch) -> Tensor:
        """Return float32 [B, D], one vector for each sequence."""


@dataclass(frozen=True)
class Engine:
    """A model and all that its vectors depend on.

    Attributes:
        encoder: configuration and attention back end, and those weights that `model` has not
            replaced by a layout of its own.
        model: what embeds: the encoder itself, or another form of it.
        token_budget: tokens of a batch.
        numerics: the numerics key.
        exact: makes the float32 model for sequences that overflow in half precision.
    """

    encoder: Encoder
    model: Model
    token_budget: int
    numerics: dict[str, str | int]
    exact: Callable[[], Model]

    def with_budget(self, budget: int) -> "Engine":
        """Return the same engine with another token budget, which is another numerics key."""
        numerics = {**self.numerics, "token_budget": budget}
        return replace(self, token_budget=budget, numerics=numerics)
