"""The same encoders with our GPU kernels, in half precision: what runs on a GPU by default.

They take the weights of an ESM2 or DnabertS and compute what its forward does, with fewer passes
over memory:
- GELU is in the epilogue of its product (kernels/linear), or one pass (kernels/activation);
- the products that end a block add to the residual stream in place, with one rounding;
- biases of these products are not added to the stream: the layer norms add their sum, in float32;
- attention rotates queries and keys itself (kernels/attention);
- before the first attention nothing depends on a token's position, so queries, keys and values of
  the first layer are rows of a table, one for each token of the alphabet.
"""

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from virnucpro.kernels.activation import geglu, gelu_
from virnucpro.kernels.linear import HALF_N, interleave, linear_geglu, linear_gelu
from virnucpro.kernels.norm import layer_norm
from virnucpro.models.attention import BACKENDS
from virnucpro.models.dnabert_s import DnabertS
from virnucpro.models.dnabert_s import Layer as DnabertSLayer
from virnucpro.models.encoder import EncoderForm, free_weight
from virnucpro.models.esm2 import ESM2, LAYER_NORM_EPS, TOKEN_DROPOUT_SCALE
from virnucpro.models.esm2 import Layer as EsmLayer
from virnucpro.models.packing import PackedBatch

# What kernels/linear needs: the tensor copy engine, and 180 kB of shared memory, which consumer
# cards of capability 12 do not have
EPILOGUE_CAPABILITIES = (9, 10)


class FusedESM2(EncoderForm[ESM2]):
    """ESM-2 in half precision on a GPU."""

    def __init__(self, encoder: ESM2) -> None:
        """Take the weights of an encoder on its GPU."""
        super().__init__(encoder)
        self.layers = cast(list[EsmLayer], list(encoder.layers))
        self.shifts = residual_shifts(self.layers)
        self._has_epilogue = _has_epilogue(encoder)
        with torch.inference_mode():
            first = self.layers[0]
            table = encoder.embed_tokens.weight.float() * TOKEN_DROPOUT_SCALE
            self._first_qkv = _qkv_table(first, _normed(table, first.norm1, LAYER_NORM_EPS))
            self._table = table.to(first.qkv.weight.dtype)

    def __call__(self, ids: Tensor, batch: PackedBatch) -> Tensor:
        """Return the hidden states [T, D] of token ids int64 [T]."""
        x, qkv = self._table[ids], self._first_qkv[ids]
        attend = BACKENDS[self.encoder.attention](self.encoder.scheme, batch, x.dtype)
        add = None
        for i, layer in enumerate(self.layers):
            if i > 0:
                qkv = self.qkv(i, x, add)
            x.addmm_(attend(qkv), layer.out.weight.t())
            add = self.feed_forward(i, x)
        norm = self.encoder.emb_layer_norm_after
        return layer_norm(x, norm.weight, norm.bias, LAYER_NORM_EPS, shift=self.shifts[-1], add=add)

    def qkv(self, i: int, x: Tensor, add: Tensor | None) -> Tensor:
        """Add `add` to x [T, D]; return queries, keys and values of layer i [T, 3 * D]."""
        layer = self.layers[i]
        weight, bias = layer.norm1.weight, layer.norm1.bias
        y = layer_norm(x, weight, bias, LAYER_NORM_EPS, shift=self.shifts[2 * i], add=add)
        return _qkv(layer, y)

    def feed_forward(self, i: int, x: Tensor) -> Tensor | None:
        """Run the feed-forward block of layer i; add to x [T, D], or return what is to be added."""
        x.addmm_(self.hidden(i, self.normed(i, x)), self.layers[i].fc2.weight.t())
        return None

    def normed(self, i: int, x: Tensor) -> Tensor:
        """Return the input [T, D] of the feed-forward block of layer i."""
        norm = self.layers[i].norm2
        return layer_norm(x, norm.weight, norm.bias, LAYER_NORM_EPS, shift=self.shifts[2 * i + 1])

    def hidden(self, i: int, y: Tensor) -> Tensor:
        """Return GELU of the first product [T, 4 * D] of the feed-forward block of layer i."""
        layer = self.layers[i].fc1
        if self._has_epilogue:
            return linear_gelu(y, layer.weight, layer.bias)
        return gelu_(torch.addmm(layer.bias, y, layer.weight.t()))


def residual_shifts(layers: Sequence[EsmLayer]) -> list[Tensor]:
    """Return what the residual stream lacks before each layer norm, the sum of the biases so far.

    Returns: float32 [D], 2 a layer and one for the last norm.
    """
    shift = torch.zeros_like(layers[0].out.bias, dtype=torch.float32)
    shifts = [shift]
    for layer in layers:
        for linear in (layer.out, layer.fc2):
            shift = shift + linear.bias.float()
            shifts.append(shift)
    return shifts


class FusedDnabertS(EncoderForm[DnabertS]):
    """DNABERT-S in half precision on a GPU."""

    def __init__(self, encoder: DnabertS) -> None:
        """Take the weights of an encoder on its GPU; it may be unable to run itself afterwards."""
        super().__init__(encoder)
        self._layers = layers = cast(list[DnabertSLayer], list(encoder.layers))
        self._shifts = [(layer.out.bias.float(), layer.wo.bias.float()) for layer in layers]
        self._gated: list[Tensor] | None = None
        if _has_epilogue(encoder) and encoder.config.intermediate % HALF_N == 0:
            self._gated = []
            for layer in layers:
                self._gated.append(interleave(layer.gated.weight))
                free_weight(layer.gated)
        with torch.inference_mode():
            words = encoder.word_embeddings.weight.float() + encoder.token_type.float()
            table = _normed(words, encoder.norm, encoder.config.layer_norm_eps)
            self._first_qkv = _qkv_table(layers[0], table)
            self._table = table.to(layers[0].qkv.weight.dtype)

    def __call__(self, ids: Tensor, batch: PackedBatch) -> Tensor:
        """Return the hidden states [T, D] of token ids int64 [T]."""
        eps = self.encoder.config.layer_norm_eps
        x, qkv = self._table[ids], self._first_qkv[ids]
        attend = BACKENDS[self.encoder.attention](self.encoder.scheme, batch, x.dtype)
        for i, layer in enumerate(self._layers):
            n1, n2 = layer.norm1, layer.norm2
            shift1, shift2 = self._shifts[i]
            if i > 0:
                qkv = _qkv(layer, x)
            x.addmm_(attend(qkv), layer.out.weight.t())
            x = layer_norm(x, n1.weight, n1.bias, eps, shift=shift1)
            if self._gated is not None:
                y = linear_geglu(x, self._gated[i])
            else:
                y = geglu(x @ layer.gated.weight.t())
            x.addmm_(y, layer.wo.weight.t())
            x = layer_norm(x, n2.weight, n2.bias, eps, shift=shift2)
        return x


def _normed(table: Tensor, norm: nn.LayerNorm, eps: float) -> Tensor:
    """Return the layer norm of a table float32 [tokens, D]."""
    weight, bias = norm.weight.float(), norm.bias.float()
    return F.layer_norm(table, weight.shape, weight, bias, eps)


def _qkv_table(layer: EsmLayer | DnabertSLayer, table: Tensor) -> Tensor:
    """Return queries, keys and values [tokens, 3 * D] of a table float32 [tokens, D].

    Rounded once, at the end: each occurrence of a token has the same error, so a mean keeps it.
    """
    weight, bias = layer.qkv.weight, layer.qkv.bias
    return F.linear(table, weight.float(), bias.float()).to(weight.dtype)


def _qkv(layer: EsmLayer | DnabertSLayer, x: Tensor) -> Tensor:
    return torch.addmm(layer.qkv.bias, x, layer.qkv.weight.t())


def _has_epilogue(encoder: ESM2 | DnabertS) -> bool:
    major, _ = torch.cuda.get_device_capability(encoder.device)
    return major in EPILOGUE_CAPABILITIES
