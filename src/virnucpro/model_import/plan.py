"""What a component will be made of; planned before any numbers are read."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from virnucpro.errors import InputError
from virnucpro.model_import.stored_tensor import StoredTensor


@dataclass(frozen=True)
class Plan:
    """A component, and the stored tensors that it is made of.

    Attributes:
        architecture, config: the component's metadata.
        tensors: our name -> tensors of the source, which are stacked along their first dimension.
        files: of the source; the one with the weights is first.
        width: numbers a frame that an encoder outputs, or that the classifier takes.
        notes: what the user should know about the source, one sentence each.
    """

    architecture: str
    config: dict[str, Any]
    tensors: dict[str, tuple[StoredTensor, ...]]
    files: tuple[Path, ...]
    width: int
    notes: tuple[str, ...] = ()

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each tensor of the component."""
        return {name: _stacked_shape(name, parts) for name, parts in self.tensors.items()}

    def dtype(self, requested: str) -> str:
        """Return the dtype to store: auto keeps float16, which float32 would only pad."""
        if requested != "auto":
            return requested
        kinds = {part.dtype for parts in self.tensors.values() for part in parts}
        return "float16" if kinds == {"float16"} else "float32"


def _stacked_shape(name: str, parts: tuple[StoredTensor, ...]) -> tuple[int, ...]:
    if len({part.shape[1:] for part in parts}) != 1 or not parts[0].shape:
        shapes = ", ".join(str(part.shape) for part in parts)
        raise InputError(f"{parts[0].path}: {name} is made of parts of shapes {shapes}.")
    return (sum(part.shape[0] for part in parts), *parts[0].shape[1:])


def num_layers(path: Path, names: Iterable[str]) -> int:
    """Return the number of layers among the tensors of an encoder, under our names; at least 1.

    Raises: InputError when one in between is missing.
    """
    numbers = {int(m[1]) for name in names if (m := re.match(r"layers\.(\d{1,4})\.", name))}
    last = max(numbers, default=0)
    if missing := set(range(last)) - numbers:
        raise InputError(f"{path}: layer {min(missing)} is missing, but there is a layer {last}.")
    return last + 1


def check_encoder(path: Path, plan: Plan) -> None:
    """Compare the tensors of a plan with those that its architecture needs.

    Raises: InputError naming every missing, unexpected and mis-shaped tensor.
    """
    import torch

    from virnucpro.models.component import ENCODERS, check_tensors

    encoder_class = ENCODERS[plan.architecture]
    with torch.device("meta"):
        model = encoder_class(encoder_class.config_class(**plan.config))
    check_tensors(path, plan.shapes, model)
