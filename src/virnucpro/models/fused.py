"""The same encoders with our GPU kernels, in half precision: what runs on a GPU by default.

They take the weights of an ESM2 or DnabertS and compute what its forward does, with fewer passes
over memory:
- GELU stands in the epilogue of its product (kernels/linear), or in one pass (kernels/activation);
- the products that end a block add to the residual stream in place, with one rounding;
- biases of these products are not added to the stream: the layer norms add their sum, in float32;
- attention turns queries and keys itself (kernels/attention).
"""

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor

from virnucpro.engine.packing import PackedBatch
from virnucpro.kernels.activation import bias_gelu_fp8, geglu, gelu_
from virnucpro.kernels.fp8 import linear_fp8, quantize_rows
from virnucpro.kernels.linear import HALF_N, interleave, linear_geglu, linear_gelu
from virnucpro.kernels.norm import add_layer_norm_fp8, layer_norm
from virnucpro.models.attention import BACKENDS
from virnucpro.models.dnabert_s import DnabertS
from virnucpro.models.dnabert_s import Layer as DnabertSLayer
from virnucpro.models.esm2 import ESM2, LAYER_NORM_EPS, TOKEN_DROPOUT_SCALE
from virnucpro.models.esm2 import Layer as EsmLayer

# The tensor copy engine and its 227 kB of shared memory, which kernels/linear needs
EPILOGUE_CAPABILITY = (9, 0)


class FusedESM2:
    """ESM-2 of half precision on a GPU; with fp8, three of its four products in 8 bits.

    The product behind attention stays in half precision: it is a twelfth of the arithmetic, and
    adds to the residual stream.
    """

    architecture = ESM2.architecture

    def __init__(self, model: ESM2, *, fp8: bool = False) -> None:
        """Take the weights of a model on its GPU."""
        self.model = model
        self.config = model.config
        self._layers = cast(list[EsmLayer], list(model.layers))
        self._has_epilogue = _has_epilogue(model)
        scale = TOKEN_DROPOUT_SCALE
        table = model.embed_tokens.weight
        self._table = (table.float() * scale).to(table.dtype)
        self._shifts = _residual_shifts(self._layers)
        self._fp8 = [_Fp8Layer(layer) for layer in self._layers] if fp8 else None

    def __call__(self, ids: Tensor, batch: PackedBatch) -> Tensor:
        """Return the hidden states [T, D] of token ids int64 [T]."""
        x = self._table[ids]
        attend = BACKENDS[self.model.attention](self.model.scheme, batch, x.dtype)
        forward = self._half_layers if self._fp8 is None else self._fp8_layers
        forward(x, attend)
        norm = self.model.emb_layer_norm_after
        return layer_norm(x, norm.weight, norm.bias, LAYER_NORM_EPS, shift=self._shifts[-1])

    def pool(self, hidden: Tensor, batch: PackedBatch) -> Tensor:
        """Return float32 [B, D]: means over the residues, without BOS and EOS."""
        return self.model.pool(hidden, batch)

    def _half_layers(self, x: Tensor, attend: Callable[[Tensor], Tensor]) -> None:
        """Run all layers; x [T, D], the residual stream, changes in place."""
        for i, layer in enumerate(self._layers):
            n1, n2 = layer.norm1, layer.norm2
            y = layer_norm(x, n1.weight, n1.bias, LAYER_NORM_EPS, shift=self._shifts[2 * i])
            context = attend(torch.addmm(layer.qkv.bias, y, layer.qkv.weight.t()))
            x.addmm_(context, layer.out.weight.t())
            y = layer_norm(x, n2.weight, n2.bias, LAYER_NORM_EPS, shift=self._shifts[2 * i + 1])
            if self._has_epilogue:
                y = linear_gelu(y, layer.fc1.weight, layer.fc1.bias)
            else:
                y = gelu_(torch.addmm(layer.fc1.bias, y, layer.fc1.weight.t()))
            x.addmm_(y, layer.fc2.weight.t())

    def _fp8_layers(self, x: Tensor, attend: Callable[[Tensor], Tensor]) -> None:
        """Run all layers with products in 8 bits; x [T, D] changes in place."""
        assert self._fp8 is not None
        add: Tensor | None = None
        for i, (layer, eight) in enumerate(zip(self._layers, self._fp8, strict=True)):
            n1, n2 = layer.norm1, layer.norm2
            y = add_layer_norm_fp8(
                x, add, n1.weight, n1.bias, LAYER_NORM_EPS, shift=self._shifts[2 * i]
            )
            qkv = linear_fp8(*y, *eight.qkv, layer.qkv.bias)
            x.addmm_(attend(qkv), layer.out.weight.t())
            y = add_layer_norm_fp8(
                x, None, n2.weight, n2.bias, LAYER_NORM_EPS, shift=self._shifts[2 * i + 1]
            )
            y = bias_gelu_fp8(linear_fp8(*y, *eight.fc1), layer.fc1.bias)
            add = linear_fp8(*y, *eight.fc2)
        if add is not None:
            x.add_(add)


class _Fp8Layer:
    """Weights [N, K] in 8 bits, with their scales float32 [N, 1]."""

    def __init__(self, layer: EsmLayer) -> None:
        self.qkv = quantize_rows(layer.qkv.weight)
        self.fc1 = quantize_rows(layer.fc1.weight)
        self.fc2 = quantize_rows(layer.fc2.weight)


def _residual_shifts(layers: Sequence[EsmLayer]) -> list[Tensor]:
    """Return what the stream lacks before each layer norm: float32 [D], 2 a layer and the last."""
    shift = torch.zeros_like(layers[0].out.bias, dtype=torch.float32)
    shifts = [shift]
    for layer in layers:
        for linear in (layer.out, layer.fc2):
            shift = shift + linear.bias.float()
            shifts.append(shift)
    return shifts


class FusedDnabertS:
    """DNABERT-S of half precision on a GPU."""

    architecture = DnabertS.architecture

    def __init__(self, model: DnabertS) -> None:
        """Take the weights of a model on its GPU."""
        self.model = model
        self.config = model.config
        self._layers = layers = cast(list[DnabertSLayer], list(model.layers))
        self._token_type = model.token_type.float()
        self._shifts = [(layer.out.bias.float(), layer.wo.bias.float()) for layer in layers]
        self._gated: list[Tensor] | None = None
        if _has_epilogue(model) and model.config.intermediate % HALF_N == 0:
            self._gated = [interleave(layer.gated.weight) for layer in layers]

    def __call__(self, ids: Tensor, batch: PackedBatch) -> Tensor:
        """Return the hidden states [T, D] of token ids int64 [T]."""
        model, eps = self.model, self.config.layer_norm_eps
        x = model.word_embeddings.weight[ids]
        x = layer_norm(x, model.norm.weight, model.norm.bias, eps, shift=self._token_type)
        attend = BACKENDS[model.attention](model.scheme, batch, x.dtype)
        for i, layer in enumerate(self._layers):
            n1, n2 = layer.norm1, layer.norm2
            shift1, shift2 = self._shifts[i]
            context = attend(torch.addmm(layer.qkv.bias, x, layer.qkv.weight.t()))
            x.addmm_(context, layer.out.weight.t())
            x = layer_norm(x, n1.weight, n1.bias, eps, shift=shift1)
            if self._gated is not None:
                y = linear_geglu(x, self._gated[i])
            else:
                y = geglu(x @ layer.gated.weight.t())
            x.addmm_(y, layer.wo.weight.t())
            x = layer_norm(x, n2.weight, n2.bias, eps, shift=shift2)
        return x

    def pool(self, hidden: Tensor, batch: PackedBatch) -> Tensor:
        """Return float32 [B, D]: means over all tokens, [CLS] and [SEP] included."""
        return self.model.pool(hidden, batch)


def _has_epilogue(model: ESM2 | DnabertS) -> bool:
    device = next(model.parameters()).device
    return torch.cuda.get_device_capability(device) >= EPILOGUE_CAPABILITY
