"""DNABERT-S, the DNA language model (Zhou et al. 2024): our forward pass over its weights.

A BERT with symmetric ALiBi instead of positions, and gated feed-forward blocks. Weights come from
the published `pytorch_model.bin` (`from_published`), or are trained by us. The pooler of the
checkpoint is not used.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from virnucpro.models.attention import BACKENDS, Attention, Backend, Scheme
from virnucpro.models.encoder import BaseEncoder, TokenEmbedding, mean_of_spans
from virnucpro.models.packing import PackedBatch

# Published names and ours; "layers.*" means each layer.
PUBLISHED_NAMES = {
    "embeddings.word_embeddings": "word_embeddings",
    "embeddings.LayerNorm": "norm",
    "encoder.layer.*.attention.self.Wqkv": "layers.*.qkv",
    "encoder.layer.*.attention.output.dense": "layers.*.out",
    "encoder.layer.*.attention.output.LayerNorm": "layers.*.norm1",
    "encoder.layer.*.mlp.gated_layers": "layers.*.gated",
    "encoder.layer.*.mlp.wo": "layers.*.wo",
    "encoder.layer.*.mlp.layernorm": "layers.*.norm2",
}
PUBLISHED_TOKEN_TYPES = "embeddings.token_type_embeddings.weight"  # [2, D]; only row 0 is used
PUBLISHED_UNUSED = re.compile(r"^(pooler|cls)\.|^embeddings\.position_ids$")  # cls: the masked head
T = TypeVar("T", bound=Any)  # a tensor, or what stands for one and gives its rows


@dataclass(frozen=True)
class Config:
    """Sizes of a DNABERT-S model."""

    layers: int
    width: int
    heads: int
    intermediate: int
    vocab_size: int
    layer_norm_eps: float = 1e-12


# T tokens of a packed batch, B sequences, D width, I intermediate
class DnabertS(BaseEncoder):
    """The encoder: hidden states of the last layer."""

    architecture = "dnabert_s"
    config_class: type[Any] = Config
    config: Config

    def __init__(self, config: Config) -> None:
        """Build a model with fresh weights."""
        super().__init__()
        self.config = config
        slopes = tuple(alibi_slopes(config.heads))
        self.scheme = Scheme(config.heads, config.width // config.heads, slopes=slopes)
        self.attention = "sdpa"  # a back end of models.attention
        self.word_embeddings = TokenEmbedding(config.vocab_size, config.width)
        self.token_type = nn.Parameter(torch.zeros(config.width))
        self.norm = nn.LayerNorm(config.width, eps=config.layer_norm_eps)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))

    def forward(self, ids: Tensor, batch: PackedBatch, backend: Backend | None = None) -> Tensor:
        """Return the hidden states [T, D] of token ids int64 [T]; training brings its attention."""
        x = self.norm(self.word_embeddings(ids) + self.token_type)
        attend = (backend or BACKENDS[self.attention])(self.scheme, batch, x.dtype)
        for layer in self.layers:
            x = layer(x, attend)
        return x

    def pool(self, hidden: Tensor, batch: PackedBatch) -> Tensor:
        """Return float32 [B, D]: means over all tokens, [CLS] and [SEP] included."""
        return mean_of_spans(hidden, batch.cu_seqlens[:-1], batch.cu_seqlens[1:])


class Layer(nn.Module):
    """One post-norm transformer block."""

    def __init__(self, config: Config) -> None:
        """Build a block with fresh weights."""
        super().__init__()
        width = config.width
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        # In half precision torch's layer norm still computes in float32.
        self.norm1 = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.gated = nn.Linear(width, 2 * config.intermediate, bias=False)
        self.wo = nn.Linear(config.intermediate, width)
        self.norm2 = nn.LayerNorm(width, eps=config.layer_norm_eps)

    def forward(self, x: Tensor, attend: Attention) -> Tensor:
        """Return the next hidden states [T, D]."""
        x = self.norm1(self.out(attend(self.qkv(x))) + x)
        gate, value = self.gated(x).chunk(2, -1)  # [T, I]
        return self.norm2(self.wo(F.gelu(gate) * value) + x)  # exact erf GELU, as trained


def alibi_slopes(heads: int) -> list[float]:
    """Return the slope of each head, as Press et al. 2022 choose them.

    For a power of two n: 2^(-8/n), 2^(-16/n), ... Otherwise those of the next lower power of two,
    then every second one of the next higher.
    """
    lower = 2 ** (heads.bit_length() - 1)
    slopes = [2 ** (-8 * (i + 1) / lower) for i in range(lower)]
    between = [2 ** (-4 * (2 * i + 1) / lower) for i in range(heads - lower)]
    return slopes + between


def from_published(state: Mapping[str, T]) -> dict[str, T]:
    """Return a published state dict under our names; an unknown name is kept as it is.

    Args:
        state: of tensors, or of whatever stands for one and gives its rows.
    """
    ours: dict[str, T] = {}
    for published, tensor in state.items():
        name = published.removeprefix("bert.")
        if PUBLISHED_UNUSED.search(name):
            continue
        if name == PUBLISHED_TOKEN_TYPES:
            ours["token_type"] = tensor[0]
            continue
        module, _, kind = name.rpartition(".")
        number = re.search(r"\.(\d+)\.", module)
        module = PUBLISHED_NAMES.get(re.sub(r"\.\d+\.", ".*.", module, count=1), module)
        ours[f"{module}.{kind}".replace("*", number[1] if number else "*")] = tensor
    return ours
