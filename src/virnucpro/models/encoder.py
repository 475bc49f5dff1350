"""What the encoders have in common, and what the faster forms of one share with it: pooling too."""

from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from virnucpro.models.packing import PackedBatch


class BaseEncoder(nn.Module):
    """An encoder: the plain definition of its forward pass, with its weights.

    Attributes:
        architecture: its name in component files and tables.
        config_class: the dataclass of its sizes, `width` among them.
    """

    architecture: str
    config_class: type[Any]
    config: Any

    @property
    def width(self) -> int:
        """Return D, the numbers of a vector."""
        width: int = self.config.width
        return width

    @property
    def dtype(self) -> torch.dtype:
        """Return the type of the weights."""
        return next(self.parameters()).dtype

    @property
    def device(self) -> torch.device:
        """Return where the weights are."""
        return next(self.parameters()).device

    def pool(self, hidden: Tensor, batch: PackedBatch) -> Tensor:
        """Return float32 [B, D], one vector for each sequence, of hidden states [T, D]."""
        raise NotImplementedError


E = TypeVar("E", bound=BaseEncoder)


class EncoderForm(Generic[E]):
    """Computes what an encoder does in another way, with its weights; the vectors are alike."""

    def __init__(self, encoder: E) -> None:
        """Take the encoder, which must stay on its device in its type."""
        self.encoder = encoder
        self.width, self.dtype, self.device = encoder.width, encoder.dtype, encoder.device

    def __call__(self, ids: Tensor, batch: PackedBatch) -> Tensor:
        """Return the hidden states [T, D] of token ids int64 [T]."""
        raise NotImplementedError

    def pool(self, hidden: Tensor, batch: PackedBatch) -> Tensor:
        """Return float32 [B, D], as the encoder pools hidden states [T, D]."""
        return self.encoder.pool(hidden, batch)


Model = BaseEncoder | EncoderForm[Any]  # what embeds


def mean_of_spans(x: Tensor, starts: Tensor, ends: Tensor) -> Tensor:
    """Return the float32 [B, D] means of rows starts[b] to ends[b] - 1 of x [T, D].

    Spans ascend without overlap. Each mean adds its rows one after the other, so it depends on
    nothing but them; torch's sum and mean choose their order by the shape of the whole tensor.
    A span without rows has NaN.
    """
    # Segments: before the first span, span, gap, span, ...; every second one is kept.
    bounds = torch.stack([starts, ends], 1).flatten().long()
    sums = torch.segment_reduce(x.float(), "sum", offsets=bounds, unsafe=True)[::2]  # [B, D]
    return sums / (ends - starts)[:, None]


class TokenEmbedding(nn.Embedding):
    """nn.Embedding, but fresh weights are drawn only where there is storage for them.

    Drawing normal numbers without storage (device "meta") makes torch import its compiler, which
    takes longer than embedding a small sample.
    """

    def reset_parameters(self) -> None:
        """Draw the weights."""
        if not self.weight.is_meta:
            super().reset_parameters()


def free_weight(linear: nn.Linear) -> None:
    """Free a weight that a form has in another layout; the encoder itself cannot run any more."""
    linear.register_parameter("weight", None)
