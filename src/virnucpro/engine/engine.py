"""The engine: a model with all that its vectors depend on."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from virnucpro.models.component import Encoder
from virnucpro.models.encoder import Model


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
