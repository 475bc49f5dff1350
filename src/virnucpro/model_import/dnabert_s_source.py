"""DNABERT-S as published: its folder, or the weights in it; and its tokenizer."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

from virnucpro.errors import InputError
from virnucpro.model_import.plan import Plan, check_encoder, num_layers
from virnucpro.model_import.published_weights import Weights, read_weights, with_config_beside
from virnucpro.model_import.stored_tensor import StoredTensor
from virnucpro.models import dnabert_s

PUBLISHED_WIDTH, PUBLISHED_HEADS = 768, 12  # for a file of weights without its config.json


def plan_dnabert_s(path: Path) -> Plan:
    """Return what the DNABERT-S component is made of.

    Raises: InputError for a file that is not DNABERT-S or not complete, naming what is wrong.
    """
    weights = with_config_beside(read_weights(path))
    tensors = dnabert_s.from_published(weights.tensors)
    config = _config(weights, tensors)
    plan = Plan(
        architecture="dnabert_s",
        config=asdict(config),
        tensors={name: (tensor,) for name, tensor in tensors.items()},
        files=weights.files,
        width=config.width,
    )
    check_encoder(path, plan)
    return plan


def tokenizer_of(path: Path) -> Path:
    """Return the tokenizer.json of DNABERT-S's folder.

    Raises: InputError when there is none.
    """
    file = (path if path.is_dir() else path.parent) / "tokenizer.json"
    if not file.exists():
        raise InputError(
            f"{file}: is missing. Put DNABERT-S's tokenizer.json beside its weights; it is in the "
            "same repository."
        )
    return file


def check_tokenizer(file: Path, vocab_size: int) -> None:
    """Refuse a tokenizer of another vocabulary.

    Raises: InputError with both numbers, or for an unreadable file.
    """
    from virnucpro.models.tokenizers import BpeTokenizer

    num_tokens = BpeTokenizer(file).vocab_size
    if num_tokens != vocab_size:
        raise InputError(
            f"{file}: has {num_tokens} tokens, DNABERT-S has vectors for {vocab_size}. They belong "
            "to different models: copy both from the same repository."
        )


def _config(weights: Weights, tensors: Mapping[str, StoredTensor]) -> dnabert_s.Config:
    """Return the sizes, from the tensors; heads and epsilon are in config.json only."""
    path = weights.path
    words, gated = tensors.get("word_embeddings.weight"), tensors.get("layers.0.gated.weight")
    if not words or not gated or len(words.shape) != 2 or len(gated.shape) != 2:
        raise InputError(
            f"{path}: is not DNABERT-S: it lacks a two-dimensional "
            "embeddings.word_embeddings.weight or encoder.layer.0.mlp.gated_layers.weight. Give "
            "its folder."
        )
    vocab_size, width = words.shape
    heads = weights.config.get("num_attention_heads")
    if not weights.config and width == PUBLISHED_WIDTH:
        heads = PUBLISHED_HEADS
    if type(heads) is not int or heads < 1 or width % heads:
        raise InputError(
            f"{path}: width {width} with {ascii(heads)} heads is not DNABERT-S. Put its "
            "config.json beside it, which states num_attention_heads."
        )
    layers = num_layers(path, tensors)
    config = dnabert_s.Config(layers, width, heads, gated.shape[0] // 2, vocab_size)
    epsilon = weights.config.get("layer_norm_eps", config.layer_norm_eps)
    if not isinstance(epsilon, float) or not 0 < epsilon < 1:
        raise InputError(
            f"{path}: layer_norm_eps in config.json is {ascii(epsilon)}, expected a number between "
            "0 and 1."
        )
    return replace(config, layer_norm_eps=epsilon)
