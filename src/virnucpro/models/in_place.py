"""The same encoders on a CPU in float32, with few passes over memory: what runs there by default.

The matrix products are those of the plain forward; this is about the rest. Results overwrite those
of an earlier layer, since fresh memory costs more than computing GELU does (each new page is
cleared first), and queries and keys are rotated as complex numbers, one multiplication in place.
For that the two halves of a head, which the rotation pairs, are interleaved:

    as published   q0 q1 q2 q3 | q4 q5 q6 q7     rotation pairs q0 with q4, q1 with q5, ...
    here           q0 q4 q1 q5 q2 q6 q3 q7       the product of q and k is the same in any order

Before the first attention nothing depends on a token's position, so queries, keys and values of the
first layer are rows of a table, one for each token.
"""

import threading
from typing import cast

import torch
from torch import Tensor

from virnucpro.models.attention import BACKENDS, Scheme, complex_rotation
from virnucpro.models.dnabert_s import DnabertS
from virnucpro.models.dnabert_s import Layer as DnabertSLayer
from virnucpro.models.encoder import EncoderForm, free_weight
from virnucpro.models.esm2 import ESM2, TOKEN_DROPOUT_SCALE
from virnucpro.models.esm2 import Layer as EsmLayer
from virnucpro.models.packing import PackedBatch


class _ThreadBuffers(threading.local):
    """Tensors of one thread that each layer and each batch overwrites."""

    def __init__(self) -> None:
        self._tensors: dict[str, Tensor] = {}

    def get(self, name: str, rows: int, width: int) -> Tensor:
        """Return float32 [rows, width], not initialised."""
        tensor = self._tensors.get(name)
        if tensor is None or tensor.shape != (rows, width):
            tensor = self._tensors[name] = torch.empty(rows, width)
        return tensor


# T tokens of a packed batch, D width, H heads, K = D / H
class InPlaceESM2(EncoderForm[ESM2]):
    """ESM-2 in float32 on a CPU."""

    def __init__(self, encoder: ESM2) -> None:
        """Take the weights of an encoder, which cannot run itself any more."""
        super().__init__(encoder)
        self._layers = cast(list[EsmLayer], list(encoder.layers))
        self._buffers = _ThreadBuffers()
        self._scheme = Scheme(encoder.scheme.heads, encoder.scheme.head_width)  # q, k come rotated
        self._qkv: list[tuple[Tensor, Tensor]] = []
        heads = encoder.config.heads
        with torch.inference_mode():
            for layer in self._layers:
                weight, bias = layer.qkv.weight, layer.qkv.bias
                self._qkv.append((interleave_halves(weight, heads), interleave_halves(bias, heads)))
                free_weight(layer.qkv)
            first_weight, first_bias = self._qkv[0]
            self._table = encoder.embed_tokens.weight * TOKEN_DROPOUT_SCALE
            normed = self._layers[0].norm1(self._table)
            self._first_qkv = torch.addmm(first_bias, normed, first_weight.t())  # [letters, 3 * D]

    @torch.inference_mode()
    def __call__(self, ids: Tensor, batch: PackedBatch) -> Tensor:
        """Return the hidden states [T, D] of token ids int64 [T]."""
        encoder, count, width = self.encoder, len(ids), self.width
        x = self._table[ids]
        qkv = self._buffers.get("qkv", count, 3 * width)
        hidden = self._buffers.get("hidden", count, 4 * width)
        attend = BACKENDS[encoder.attention](self._scheme, batch, x.dtype)
        rotations = complex_rotation(encoder.scheme, batch)  # [T, 1, K / 2]
        pairs = qkv[:, : 2 * width].view(count, 2 * encoder.config.heads, -1, 2)
        queries_and_keys = torch.view_as_complex(pairs)  # [T, 2 * H, K / 2]
        torch.index_select(self._first_qkv, 0, ids, out=qkv)
        for i, layer in enumerate(self._layers):
            if i > 0:
                weight, bias = self._qkv[i]
                torch.addmm(bias, layer.norm1(x), weight.t(), out=qkv)
            queries_and_keys.mul_(rotations)
            x.add_(layer.out.bias).addmm_(attend(qkv), layer.out.weight.t())
            torch.addmm(layer.fc1.bias, layer.norm2(x), layer.fc1.weight.t(), out=hidden)
            torch.ops.aten.gelu_(hidden)
            x.add_(layer.fc2.bias).addmm_(hidden, layer.fc2.weight.t())
        return cast(Tensor, encoder.emb_layer_norm_after(x))


# I intermediate
class InPlaceDnabertS(EncoderForm[DnabertS]):
    """DNABERT-S in float32 on a CPU."""

    def __init__(self, encoder: DnabertS) -> None:
        """Take the weights of an encoder."""
        super().__init__(encoder)
        self._layers = cast(list[DnabertSLayer], list(encoder.layers))
        self._buffers = _ThreadBuffers()
        with torch.inference_mode():
            qkv = self._layers[0].qkv
            self._table = encoder.norm(encoder.word_embeddings.weight + encoder.token_type)
            self._first_qkv = torch.addmm(qkv.bias, self._table, qkv.weight.t())  # [tokens, 3 * D]

    @torch.inference_mode()
    def __call__(self, ids: Tensor, batch: PackedBatch) -> Tensor:
        """Return the hidden states [T, D] of token ids int64 [T]."""
        encoder, config, count = self.encoder, self.encoder.config, len(ids)
        x = self._table[ids]
        qkv = self._buffers.get("qkv", count, 3 * config.width)
        gated = self._buffers.get("gated", count, 2 * config.intermediate)
        gate, value = gated.chunk(2, -1)  # [T, I]
        attend = BACKENDS[encoder.attention](encoder.scheme, batch, x.dtype)
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


def interleave_halves(qkv: Tensor, heads: int) -> Tensor:
    """Return rows [3 * D, ...] of a qkv product, with both halves of each q and k interleaved."""
    width = len(qkv) // 3
    pairs = qkv[: 2 * width].unflatten(0, (2 * heads, 2, -1)).transpose(1, 2)
    return torch.cat([pairs.flatten(0, 2), qkv[2 * width :]])
