"""The authors' own forward passes with given weights: fair-esm and transformers."""

from collections.abc import Callable

import torch
from torch import Tensor

from virnucpro.engine.official import published_state, transformers_config, transformers_state
from virnucpro.models.esm2 import ESM2

Hidden = Callable[[Tensor], Tensor]  # ids [N, L] -> hidden states of the last layer [N, L, D]


def fair_esm(model: ESM2, device: torch.device) -> Hidden:
    """Return fair-esm's forward, in the type of the weights."""
    from esm.model.esm2 import ESM2 as FairEsm2

    config = model.config
    with torch.device("meta"):
        oracle = FairEsm2(config.layers, config.width, config.heads)
    state = published_state(model)
    for name, tensor in oracle.state_dict().items():
        if name.endswith("inv_freq"):
            state[name] = inverse_frequencies(model, device)
        elif name not in state:  # the heads, which embeddings do not need
            state[name] = torch.zeros_like(tensor, device=device)
    oracle.load_state_dict(state, assign=True)
    oracle.eval()

    def hidden(ids: Tensor) -> Tensor:
        result: Tensor = oracle(ids, repr_layers=[config.layers])["representations"][config.layers]
        return result

    return hidden


def transformers_module(model: ESM2, device: torch.device) -> torch.nn.Module:
    """Return transformers' EsmModel in the type of the weights, with float32 frequencies."""
    import transformers

    with torch.device("meta"):
        peer = transformers.EsmModel(transformers_config(model), add_pooling_layer=False)
    peer = peer.to(model.embed_tokens.weight.dtype).to_empty(device=device)
    for module in peer.modules():  # buffers that to_empty does not keep
        if hasattr(module, "inv_freq"):
            module.inv_freq = inverse_frequencies(model, device)
    mismatch = peer.load_state_dict(transformers_state(model), strict=False)
    assert not mismatch.unexpected_keys, mismatch
    return peer.eval()


def inverse_frequencies(model: ESM2, device: torch.device) -> Tensor:
    """Return the rotary frequencies, float32 [K / 2]."""
    width = model.config.width // model.config.heads
    return 1 / 10000 ** (torch.arange(0, width, 2, device=device).float() / width)
