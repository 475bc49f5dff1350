"""The authors' own forward passes with our weights, to check ours on any data.

ESM-2: the package fair-esm, else transformers, in float32. DNABERT-S, whose published code needs an
old transformers: the plain definition in float32, one sequence at a time, as the original ran it.
"""

import importlib.metadata
import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from virnucpro.engine.device import numerics_key
from virnucpro.engine.engine import Engine
from virnucpro.errors import InputError
from virnucpro.models.component import Encoder
from virnucpro.models.dnabert_s import DnabertS
from virnucpro.models.encoder import EncoderForm
from virnucpro.models.esm2 import (
    ESM2,
    LAYER_NORM_EPS,
    PUBLISHED_LAYER_NAMES,
    PUBLISHED_STACKED,
)
from virnucpro.models.packing import PackedBatch

BUDGET = 2048  # tokens of a batch, as in the original
# Distributions and their packages, the first choice first. esm is the name of another
# distribution's package, too.
PACKAGES = {"fair-esm": "esm", "transformers": "transformers"}
ONE_AT_A_TIME = 1  # a longer sequence has a batch of its own


def official_engine(
    encoder: Encoder, device: torch.device, precision: str, attention_name: str
) -> Engine:
    """Return an engine that computes with the authors' code.

    Raises: InputError for another precision than fp32, and without the package.
    """
    if precision != "fp32":
        raise InputError(
            f"--engine official: computes in fp32, not {precision}. Add --precision fp32."
        )
    if attention_name != "auto":
        raise InputError("--engine official: has its own attention. Omit --attention.")
    if isinstance(encoder, DnabertS):
        encoder.attention = "reference"
        numerics = numerics_key(device, precision, ONE_AT_A_TIME, "official", "reference")
        return Engine(encoder, encoder, ONE_AT_A_TIME, numerics, lambda: encoder)
    name = next(filter(_is_installed, PACKAGES), "")
    if not name:
        raise InputError("--engine official: needs fair-esm or transformers. Install one of them.")
    forward = _fair_esm if name == "fair-esm" else _transformers
    model = _Official(encoder, forward(encoder, device))
    path = f"official {PACKAGES[name]}"
    numerics = numerics_key(device, precision, BUDGET, path, "official", name)
    return Engine(encoder, model, BUDGET, numerics, lambda: model)


def _is_installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


class _Official(EncoderForm[ESM2]):
    """Runs a padded model, ids [N, L] -> [N, L, D], on equally long sequences: without padding.

    One thread at a time: fair-esm's rotary embedding keeps the angles of the last length in the
    module, as older versions of transformers do.
    """

    def __init__(self, encoder: ESM2, forward: Callable[[Tensor], Tensor]) -> None:
        super().__init__(encoder)
        self._forward, self._lock = forward, threading.Lock()

    def __call__(self, ids: Tensor, batch: PackedBatch) -> Tensor:
        """Return the hidden states [T, D]; zeros for filler."""
        hidden = torch.zeros(ids.shape[0], self.width, device=ids.device)
        for run in batch.runs:
            rows = slice(run.first_token, run.end)
            with self._lock:
                hidden[rows] = self._forward(ids[rows].view(run.count, run.length)).flatten(0, 1)
        return hidden


def _fair_esm(encoder: ESM2, device: torch.device) -> Callable[[Tensor], Tensor]:
    from esm.model.esm2 import ESM2 as FairEsm2  # type: ignore[import-untyped]

    layers = encoder.config.layers
    with torch.device(device):
        esm = FairEsm2(layers, encoder.config.width, encoder.config.heads).eval()
    state = published_state(encoder)
    for name, tensor in esm.state_dict().items():
        if name.endswith("inv_freq"):
            state[name] = torch.tensor(encoder.scheme.frequencies, device=tensor.device)
    mismatch = esm.load_state_dict(state, strict=False)
    assert not mismatch.unexpected_keys and all(
        name.startswith(("lm_head", "contact_head")) for name in mismatch.missing_keys
    ), mismatch
    return lambda ids: esm(ids, repr_layers=[layers])["representations"][layers]


def _transformers(encoder: ESM2, device: torch.device) -> Callable[[Tensor], Tensor]:
    import transformers

    model_class: Any = transformers.EsmModel
    esm = model_class(transformers_config(encoder), add_pooling_layer=False)
    mismatch = esm.load_state_dict(transformers_state(encoder), strict=False)
    assert not mismatch.unexpected_keys, mismatch
    for module in esm.modules():  # the checkpoint's, which may differ from the formula's
        if hasattr(module, "inv_freq"):
            module.inv_freq = torch.tensor(encoder.scheme.frequencies)
    esm.to(device).eval()
    return lambda ids: esm(ids, torch.ones_like(ids)).last_hidden_state


def transformers_config(encoder: ESM2) -> Any:
    """Return the transformers.EsmConfig of an ESM-2 of these sizes."""
    from transformers import EsmConfig

    config, alphabet = encoder.config, encoder.config.alphabet
    return EsmConfig(
        vocab_size=len(alphabet),
        mask_token_id=alphabet.index("<mask>"),
        pad_token_id=alphabet.index("<pad>"),
        hidden_size=config.width,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        intermediate_size=4 * config.width,
        position_embedding_type="rotary",
        token_dropout=True,
        emb_layer_norm_before=False,
        layer_norm_eps=LAYER_NORM_EPS,  # its default is not that of ESM-2
    )


def published_state(encoder: ESM2) -> dict[str, Tensor]:
    """Return the weights under fair-esm's names."""
    published = {ours: theirs for theirs, ours in PUBLISHED_LAYER_NAMES.items()}
    state: dict[str, Tensor] = {}
    for name, tensor in encoder.state_dict().items():
        parts = name.split(".")
        if parts[0] != "layers":
            state[name] = tensor
        elif parts[2] == "qkv":
            for theirs, part in zip(PUBLISHED_STACKED, tensor.chunk(3), strict=True):
                state[f"layers.{parts[1]}.{theirs}.{parts[3]}"] = part
        else:
            state[f"layers.{parts[1]}.{published[parts[2]]}.{parts[3]}"] = tensor
    return state


# Modules of a layer: names of fair-esm and of transformers.
TRANSFORMERS_LAYER_NAMES = {
    "self_attn.q_proj": "attention.self.query",
    "self_attn.k_proj": "attention.self.key",
    "self_attn.v_proj": "attention.self.value",
    "self_attn.out_proj": "attention.output.dense",
    "self_attn_layer_norm": "attention.LayerNorm",
    "fc1": "intermediate.dense",
    "fc2": "output.dense",
    "final_layer_norm": "LayerNorm",
}


def transformers_state(encoder: ESM2) -> dict[str, Tensor]:
    """Return the weights under transformers' names."""
    state: dict[str, Tensor] = {}
    for name, tensor in published_state(encoder).items():
        if name.startswith("layers."):
            _, number, rest = name.split(".", 2)
            module, _, kind = rest.rpartition(".")
            theirs = f"encoder.layer.{number}.{TRANSFORMERS_LAYER_NAMES[module]}.{kind}"
        elif name == "embed_tokens.weight":
            theirs = "embeddings.word_embeddings.weight"
        else:
            theirs = f"encoder.{name}"
        state[theirs] = tensor
    return state
