"""The same encoders on a CPU in float32, with few passes over memory: what runs there by default.

The products take as long as they take; this is about the rest. Results are written where
an earlier layer's stood, since fresh memory costs more than computing GELU does (each new page is
cleared first), and queries and keys are rotated as complex numbers, one multiplication in place.
For that the two halves of a head, which the rotation pairs, lie in turns:

    as published   q0 q1 q2 q3 | q4 q5 q6 q7     rotation pairs q0 with q4, q1 with q5, ...
    here           q0 q4 q1 q5 q2 q6 q3 q7       a product of q and k does not feel the order

Tokens know nothing of their place before the first attention, so queries, keys and values of the
first layer are rows of a table, one for each token.
"""

import threading
from typing import cast

import torch
from torch import Tensor

from virnucpro.models.attention import BACKENDS, Scheme, complex_rotation
from virnucpro.models.dnabert_s import DnabertS
from virnucpro.models.dnabert_s import Layer as DnabertSLayer
from virnucpro.models.esm2 import ESM2, TOKEN_DROPOUT_SCALE
from virnucpro.models.esm2 import Layer as EsmLayer
from virnucpro.models.packing import PackedBatch
from virnucpro.models.weights import forget_weight


class _Memory(threading.local):
    """Tensors of one thread that each layer and each batch uses again."""

    def __init__(self) -> None:
        self._tensors: dict[str, Tensor] = {}

    def get(self, name: str, rows: int, width: int) -> Tensor:
        """Return float32 [rows, width] with anything in it."""
        tensor = self._tensors.get(name)
        if tensor is None or tensor.shape != (rows, width):
            tensor = self._tensors[name] = torch.empty(rows, width)
        return tensor


# T tokens of a packed batch, D width, H heads, K = D / H
class InPlaceESM2:
    """ESM-2 in float32 on a CPU."""

    architecture = ESM2.architecture

    def __init__(self, model: ESM2) -> None:
        """Take the weights of a model; its own forward cannot run any more."""
        self.model = model
        self.config = model.config
        self._layers = cast(list[EsmLayer], list(model.layers))
        self._memory = _Memory()
        self._rotated = Scheme(model.scheme.heads, model.scheme.head_width)
        self._qkv: list[tuple[Tensor, Tensor]] = []
        heads = self.config.heads
        with torch.inference_mode():
            for layer in self._layers:
                weight, bias = layer.qkv.weight, layer.qkv.bias
                self._qkv.append((in_turns(weight, heads), in_turns(bias, heads)))
                forget_weight(layer.qkv)
            first_weight, first_bias = self._qkv[0]
            self._table = model.embed_tokens.weight * TOKEN_DROPOUT_SCALE
            normed = self._layers[0].norm1(self._table)
            self._first_qkv = torch.addmm(first_bias, normed, first_weight.t())  # [letters, 3 * D]

    @torch.inference_mode()
    def __call__(self, ids: Tensor, batch: PackedBatch) -> Tensor:
        """Return the hidden states [T, D] of token ids int64 [T]."""
        count, width = len(ids), self.config.width
        x = self._table[ids]
        qkv = self._memory.get("qkv", count, 3 * width)
        hidden = self._memory.get("hidden", count, 4 * width)
        attend = BACKENDS[self.model.attention](self._rotated, batch, x.dtype)
        turns = complex_rotation(self.model.scheme, batch)  # [T, 1, K / 2]
        pairs = qkv[:, : 2 * width].view(count, 2 * self.config.heads, -1, 2)
        queries_and_keys = torch.view_as_complex(pairs)  # [T, 2 * H, K / 2]
        torch.index_select(self._first_qkv, 0, ids, out=qkv)
        for i, layer in enumerate(self._layers):
            if i > 0:
                weight, bias = self._qkv[i]
                torch.addmm(bias, layer.norm1(x), weight.t(), out=qkv)
            queries_and_keys.mul_(turns)
            x.add_(layer.out.bias).addmm_(attend(qkv), layer.out.weight.t())
            torch.addmm(layer.fc1.bias, layer.norm2(x), layer.fc1.weight.t(), out=hidden)
            torch.ops.aten.gelu_(hidden)
            x.add_(layer.fc2.bias).addmm_(hidden, layer.fc2.weight.t())
        return cast(Tensor, self.model.emb_layer_norm_after(x))

    def pool(self, hidden: Tensor, batch: PackedBatch) -> Tensor:
        """Return float32 [B, D]: means over the residues, without BOS and EOS."""
        return self.model.pool(hidden, batch)


# I intermediate
class InPlaceDnabertS:
    """DNABERT-S in float32 on a CPU."""

    architecture = DnabertS.architecture

    def __init__(self, model: DnabertS) -> None:
        """Take the weights of a model."""
        self.model = model
        self.config = model.config
        self._layers = cast(list[DnabertSLayer], list(model.layers))
        self._memory = _Memory()
        with torch.inference_mode():
            qkv = self._layers[0].qkv
            self._table = model.norm(model.word_embeddings.weight + model.token_type)
            self._first_qkv = torch.addmm(qkv.bias, self._table, qkv.weight.t())  # [tokens, 3 * D]

    @torch.inference_mode()
    def __call__(self, ids: Tensor, batch: PackedBatch) -> Tensor:
        """Return the hidden states [T, D] of token ids int64 [T]."""
        model, config, count = self.model, self.config, len(ids)
        x = self._table[ids]
        qkv = self._memory.get("qkv", count, 3 * config.width)
        gated = self._memory.get("gated", count, 2 * config.intermediate)
        gate, value = gated.chunk(2, -1)  # [T, I]
        attend = BACKENDS[model.attention](model.scheme, batch, x.dtype)
        torch.index_select(self._first_qkv, 0, ids, out=qkv)
        for i, layer in enumerate(self._layers):
            if i > 0:
                torch.addmm(layer.qkv.bias, x, layer.qkv.weight.t(), out=qkv)
            x.add_(layer.out.bias).addmm_(attend(qkv), layer.out.weight.t())
            x = layer.norm1(x)
            torch.mm(x, layer.gated.weight.t(), out=gated)
            torch.ops.aten.gelu_(gate).mul_(value)
            x.add_(layer.wo.bias).addmm_(gate, layer.wo.weight.t())
            x = layer.norm2(x)
        return x

    def pool(self, hidden: Tensor, batch: PackedBatch) -> Tensor:
        """Return float32 [B, D]: means over all tokens, [CLS] and [SEP] included."""
        return self.model.pool(hidden, batch)


def in_turns(qkv: Tensor, heads: int) -> Tensor:
    """Return rows [3 * D, ...] of a qkv product, with both halves of each q and k in turns."""
    width = len(qkv) // 3
    pairs = qkv[: 2 * width].unflatten(0, (2 * heads, 2, -1)).transpose(1, 2)
    return torch.cat([pairs.flatten(0, 2), qkv[2 * width :]])
