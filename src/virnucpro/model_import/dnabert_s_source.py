"""DNABERT-S as published: its folder, or the file of weights in it; and its tokenizer."""

import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

from virnucpro.errors import InputError
from virnucpro.model_import.plan import Plan, check_encoder
from virnucpro.model_import.published_weights import Weights, read_weights, with_config_beside
from virnucpro.model_import.stored_tensor import StoredTensor
from virnucpro.models import dnabert_s

PUBLISHED_WIDTH, PUBLISHED_HEADS = 768, 12  # for a file of weights without its config.json
UNUSED = re.compile(r"^(pooler|cls)\.|^embeddings\.position_ids$")  # cls: DNABERT-2's masked head


def plan_dnabert_s(path: Path) -> Plan:
    """Return what the DNABERT-S component is made of.

    Raises: InputError for a file that is not DNABERT-S or not complete, naming what is wrong.
    """
    weights = with_config_beside(read_weights(path))
    tensors = {name.removeprefix("bert."): t for name, t in weights.tensors.items()}
    config = _config(weights, tensors)
    plan = Plan(
        architecture="dnabert_s",
        config=asdict(config),
        tensors=_with_our_names(tensors),
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

    found = BpeTokenizer(file).vocab_size
    if found != vocab_size:
        raise InputError(
            f"{file}: has {found} tokens, DNABERT-S has vectors for {vocab_size}. They are of "
            "different models."
        )


def _config(weights: Weights, tensors: Mapping[str, StoredTensor]) -> dnabert_s.Config:
    """Return the sizes, of the tensors; heads and epsilon are in config.json only."""
    path = weights.path
    words = tensors.get("embeddings.word_embeddings.weight")
    gated = tensors.get("encoder.layer.0.mlp.gated_layers.weight")
    numbers = {int(m[1]) for n in tensors if (m := re.match(r"encoder\.layer\.(\d{1,4})\.", n))}
    if not words or not gated or len(words.shape) != 2 or len(gated.shape) != 2:
        raise InputError(
            f"{path}: is no DNABERT-S, it has no embeddings.word_embeddings.weight and "
            "encoder.layer.0.mlp.gated_layers.weight of two dimensions. Give its folder."
        )
    if lost := set(range(max(numbers))) - numbers:
        raise InputError(f"{path}: has no layer {min(lost)}, but layer {max(numbers)}.")
    vocab_size, width = words.shape
    heads = weights.config.get("num_attention_heads")
    if not weights.config and width == PUBLISHED_WIDTH:
        heads = PUBLISHED_HEADS
    if type(heads) is not int or heads < 1 or width % heads:
        raise InputError(
            f"{path}: width {width} with {ascii(heads)} heads is no DNABERT-S. Put its config.json "
            "beside it, which states num_attention_heads."
        )
    config = dnabert_s.Config(max(numbers) + 1, width, heads, gated.shape[0] // 2, vocab_size)
    epsilon = weights.config.get("layer_norm_eps", config.layer_norm_eps)
    if not isinstance(epsilon, float) or not 0 < epsilon < 1:
        raise InputError(f"{path}: layer_norm_eps of config.json is {ascii(epsilon)}.")
    return replace(config, layer_norm_eps=epsilon)


def _with_our_names(
    tensors: Mapping[str, StoredTensor],
) -> dict[str, tuple[StoredTensor, ...]]:
    """Return the tensors under our names; an unknown name stays, and is refused later."""
    ours: dict[str, tuple[StoredTensor, ...]] = {}
    for name, tensor in tensors.items():
        if UNUSED.search(name):
            continue
        if name == dnabert_s.PUBLISHED_TOKEN_TYPES and len(tensor.shape) == 2:
            first_row = replace(tensor, shape=tensor.shape[1:], strides=tensor.strides[1:])
            ours["token_type"] = (first_row,)
            continue
        module, _, kind = name.rpartition(".")
        layer = re.match(r"encoder\.layer\.(\d+)\.", module)
        general = re.sub(r"\.\d+\.", ".*.", module, count=1)
        if general in dnabert_s.PUBLISHED_NAMES:
            module = dnabert_s.PUBLISHED_NAMES[general].replace("*", layer[1] if layer else "*")
        ours[f"{module}.{kind}"] = (tensor,)
    return ours
