"""ESM-2, the protein language model (Lin et al. 2023): our forward pass over its weights.

Weights come from fair-esm's checkpoints (`from_published`), of any size, or are trained by us. Not
here: the masked-language head and the contact head, which embeddings do not need.
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

# The 33 tokens in the order of their ids, as in fair-esm's Alphabet "ESM-1b".
ALPHABET = (
    "<cls>",
    "<pad>",
    "<eos>",
    "<unk>",
    *"LAGVSERTIDPKQNFYMHWCXBUZO.-",
    "<null_1>",
    "<mask>",
)
TOKEN_DROPOUT_SCALE = 1 - 0.15 * 0.8  # ESM-2 keeps it at inference
ROTARY_BASE = 10000
LAYER_NORM_EPS = 1e-5
MAX_POOLED_RESIDUES = 1024  # the original averages no more of them, but the model sees them all

# Published names of a layer's tensors (fair-esm) and ours; the whole table, with q_proj, k_proj and
# v_proj stacked into qkv.
PUBLISHED_LAYER_NAMES = {
    "self_attn_layer_norm": "norm1",
    "self_attn.out_proj": "out",
    "final_layer_norm": "norm2",
    "fc1": "fc1",
    "fc2": "fc2",
}
PUBLISHED_STACKED = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
PUBLISHED_PREFIX = re.compile(r"^(encoder\.sentence_encoder\.|encoder\.)")
PUBLISHED_UNUSED = re.compile(r"^(lm_head|contact_head)\.|\.rot_emb\.inv_freq$")
T = TypeVar("T")


@dataclass(frozen=True)
class Config:
    """Sizes of an ESM-2 model.

    Attributes:
        alphabet: its tokens in the order of their ids.
        rotary_frequencies: those of its checkpoint where they differ from the formula, as a
            checkpoint in half precision has them rounded; empty: the formula's.
    """

    layers: int
    width: int
    heads: int
    alphabet: tuple[str, ...] = ALPHABET
    rotary_frequencies: tuple[float, ...] = ()


# T tokens of a packed batch, B sequences, D width
class ESM2(BaseEncoder):
    """The encoder: hidden states of the last layer, after the last layer norm."""

    architecture = "esm2"
    config_class: type[Any] = Config
    config: Config

    def __init__(self, config: Config) -> None:
        """Build a model with fresh weights."""
        super().__init__()
        self.config = config
        head_width = config.width // config.heads
        frequencies = config.rotary_frequencies or rotary_frequencies(head_width)
        self.scheme = Scheme(config.heads, head_width, frequencies)
        self.attention = "sdpa"  # a back end of models.attention
        self.embed_tokens = TokenEmbedding(len(config.alphabet), config.width)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.emb_layer_norm_after = nn.LayerNorm(config.width, eps=LAYER_NORM_EPS)

    def forward(self, ids: Tensor, batch: PackedBatch, backend: Backend | None = None) -> Tensor:
        """Return the hidden states [T, D] of token ids int64 [T]; training brings its attention."""
        x = self.embed_tokens(ids) * TOKEN_DROPOUT_SCALE
        attend = (backend or BACKENDS[self.attention])(self.scheme, batch, x.dtype)
        for layer in self.layers:
            x = layer(x, attend)
        return self.emb_layer_norm_after(x)

    def pool(self, hidden: Tensor, batch: PackedBatch) -> Tensor:
        """Return float32 [B, D]: means over the residues, without BOS and EOS."""
        starts = batch.cu_seqlens[:-1] + 1
        ends = torch.minimum(batch.cu_seqlens[1:] - 1, starts + MAX_POOLED_RESIDUES)
        return mean_of_spans(hidden, starts, ends)


class Layer(nn.Module):
    """One pre-norm transformer block."""

    def __init__(self, config: Config) -> None:
        """Build a block with fresh weights."""
        super().__init__()
        width = config.width
        # In half precision torch's layer norm still computes in float32.
        self.norm1 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor, attend: Attention) -> Tensor:
        """Return the next hidden states [T, D]."""
        x = x + self.out(attend(self.qkv(self.norm1(x))))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))  # exact erf GELU, as trained


def rotary_frequencies(head_width: int) -> tuple[float, ...]:
    """Return base^(-2 i / K) for i < K / 2, as float32 arithmetic gives it (RoPE, Su et al. 2021).

    Args:
        head_width: K.
    """
    exponents = torch.arange(0, head_width, 2, device="cpu").float() / head_width
    return tuple((1.0 / ROTARY_BASE**exponents).tolist())


def from_published(state: Mapping[str, T]) -> dict[str, tuple[T, ...]]:
    """Return a fair-esm state dict under our names; an unknown name is kept as it is.

    Args:
        state: of tensors, or of whatever stands for one.
    Returns: the parts of each tensor, which are to be stacked along their first dimension.
    """
    ours: dict[str, tuple[T, ...]] = {}
    stacked: dict[str, dict[str, T]] = {}
    for published, tensor in state.items():
        name = PUBLISHED_PREFIX.sub("", published)
        if PUBLISHED_UNUSED.search(name):
            continue
        match = re.fullmatch(r"(layers\.\d+\.)(.+)\.(weight|bias)", name)
        if match and match[2] in PUBLISHED_STACKED:
            stacked.setdefault(f"{match[1]}qkv.{match[3]}", {})[match[2]] = tensor
        elif match and match[2] in PUBLISHED_LAYER_NAMES:
            ours[f"{match[1]}{PUBLISHED_LAYER_NAMES[match[2]]}.{match[3]}"] = (tensor,)
        else:
            ours[name] = (tensor,)
    for name, parts in stacked.items():
        if len(parts) == len(PUBLISHED_STACKED):  # else the name is missing, and loading says so
            ours[name] = tuple(parts[part] for part in PUBLISHED_STACKED)
    return ours
