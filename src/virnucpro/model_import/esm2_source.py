"""ESM-2 as published: a checkpoint of fair-esm, or a Hugging Face folder; any size."""

import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from virnucpro.errors import InputError
from virnucpro.model_import.pickle_values import PickledObject
from virnucpro.model_import.plan import Plan, check_encoder, num_layers
from virnucpro.model_import.published_weights import Weights, read_weights
from virnucpro.model_import.stored_tensor import StoredTensor
from virnucpro.models import esm2

# Attention heads by (layers, width), for files that do not state them: the six published sizes.
PUBLISHED_HEADS = {
    (6, 320): 20,
    (12, 480): 20,
    (30, 640): 20,
    (33, 1280): 20,
    (36, 2560): 40,
    (48, 5120): 40,
}
# Hugging Face's names and fair-esm's; those of a layer follow "encoder.layer.N.".
HUGGING_FACE_NAMES = {
    "embeddings.word_embeddings": "embed_tokens",
    "encoder.emb_layer_norm_after": "emb_layer_norm_after",
}
HUGGING_FACE_LAYER_NAMES = {
    "attention.LayerNorm": "self_attn_layer_norm",
    "attention.self.query": "self_attn.q_proj",
    "attention.self.key": "self_attn.k_proj",
    "attention.self.value": "self_attn.v_proj",
    "attention.output.dense": "self_attn.out_proj",
    "LayerNorm": "final_layer_norm",
    "intermediate.dense": "fc1",
    "output.dense": "fc2",
}
HUGGING_FACE_UNUSED = re.compile(
    r"^(lm_head|contact_head|pooler)\.|rotary_embeddings\.inv_freq$|"
    r"^embeddings\.position_(ids|embeddings\.weight)$"  # left over: positions are rotary
)
# The values that config.json may have: our forward pass computes nothing else.
HUGGING_FACE_CONFIG = {
    "model_type": ("esm",),
    "position_embedding_type": ("rotary",),
    "token_dropout": (True,),
    "emb_layer_norm_before": (False, None),
    "is_folding_model": (False, None),
    "hidden_act": ("gelu",),
    "layer_norm_eps": (esm2.LAYER_NORM_EPS,),
    "rope_theta": (float(esm2.ROTARY_BASE),),
    "vocab_size": (len(esm2.ALPHABET),),
}
ESM1_TENSORS = re.compile(r"(^|\.)(embed_positions|emb_layer_norm_before)\.")
FREQUENCIES = re.compile(r"\.inv_freq$")
# Largest relative difference of the frequencies in a file from the formula's: in float32, and
# after rounding to a half-precision format. It is larger when another base was trained.
EXACT_FREQUENCIES, ROUNDED_FREQUENCIES = 1e-6, 1e-2


def plan_esm2(path: Path) -> Plan:
    """Return what the ESM-2 component is made of.

    Raises: InputError for a file that is not ESM-2 or not complete, naming what is wrong.
    """
    weights = read_weights(path)
    _refuse_relatives(path, weights.tensors)
    if path.is_dir():
        heads = _heads_of_config(weights)
        tensors = esm2.from_published(_with_fair_names(weights.tensors))
    else:
        heads = _heads_of_checkpoint(weights)
        tensors = esm2.from_published(weights.tensors)
    (table,) = tensors.get("embed_tokens.weight", (None,))
    if table is None or len(table.shape) != 2:
        raise InputError(
            f"{path}: is not ESM-2: it lacks a two-dimensional embed_tokens.weight. Give "
            "fair-esm's esm2_*.pt or a Hugging Face folder."
        )
    layers, width = num_layers(path, tensors), table.shape[1]
    heads = heads or PUBLISHED_HEADS.get((layers, width), 0)
    if not heads or width % heads or width // heads % 2:
        raise InputError(
            f"{path}: {layers} layers of width {width} with {heads or 'an unknown number of'} "
            "heads is not ESM-2. Give the published checkpoint, which states its heads."
        )
    frequencies = _frequencies(path, weights.tensors, width // heads)
    notes = []
    if (regression := path.with_name(f"{path.stem}-contact-regression.pt")).exists():
        notes.append(f"{regression.name} is not needed: no contacts are predicted")
    if frequencies:
        notes.append("its rotary frequencies are rounded; they are used as they are")
    plan = Plan(
        architecture="esm2",
        config=asdict(esm2.Config(layers, width, heads, rotary_frequencies=frequencies)),
        tensors=tensors,
        files=weights.files + tuple(f for f in (path / "vocab.txt",) if f.exists()),
        width=width,
        notes=tuple(notes),
    )
    check_encoder(path, plan)
    return plan


def _refuse_relatives(path: Path, tensors: Mapping[str, StoredTensor]) -> None:
    """Refuse files that are easily confused with ESM-2."""
    if any(ESM1_TENSORS.search(name) for name in tensors):
        raise InputError(f"{path}: is ESM-1, with learned positions. Give an ESM-2 checkpoint.")
    if tensors and all(name.startswith("contact_head.") for name in tensors):
        beside = path.name.replace("-contact-regression", "")
        raise InputError(f"{path}: is the contact regression only. Give {beside} beside it.")


def _heads_of_checkpoint(weights: Weights) -> int:
    """Return the heads that fair-esm's configuration states, 0 without one."""
    saved = weights.saved
    cfg = saved.get("cfg") if isinstance(saved, dict) else None
    model = cfg.get("model") if isinstance(cfg, dict) else None
    settings = model.state if isinstance(model, PickledObject) else model
    if not isinstance(settings, dict):
        return 0
    if settings.get("token_dropout", True) is not True:
        raise InputError(f"{weights.path}: was trained without token dropout, so it is not ESM-2.")
    heads = settings.get("encoder_attention_heads", 0)
    return heads if type(heads) is int else 0


def _heads_of_config(weights: Weights) -> int:
    """Return the heads that config.json states, after checking the rest of it."""
    config = weights.config
    if not config:
        raise InputError(f"{weights.path}: has no config.json. Copy the whole folder.")
    faults = [
        f"{name} is {config[name]!r}, expected {allowed[0]!r}"
        for name, allowed in HUGGING_FACE_CONFIG.items()
        if name in config and config[name] not in allowed
    ]
    faults += _vocabulary_faults(weights.path / "vocab.txt")
    heads = config.get("num_attention_heads")
    if type(heads) is not int or config.get("model_type") != "esm":
        faults.append("it does not state model_type esm and num_attention_heads")
    if faults:
        raise InputError(f"{weights.path}: is not an ESM-2 folder: {'; '.join(faults)}.")
    assert isinstance(heads, int)
    return heads


def _vocabulary_faults(vocabulary: Path) -> list[str]:
    """Return what is wrong with the order of tokens, if the folder states it."""
    if not vocabulary.exists():
        return []
    tokens = vocabulary.read_text(errors="replace").split()
    different = [
        f"token {place} of vocab.txt is {ascii(token)}, expected {expected}"
        for place, (token, expected) in enumerate(zip(tokens, esm2.ALPHABET, strict=False))
        if token != expected
    ]
    if not different and len(tokens) != len(esm2.ALPHABET):
        different = [f"vocab.txt has {len(tokens)} tokens, expected {len(esm2.ALPHABET)}"]
    return different[:1]


def _with_fair_names(tensors: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
    """Return Hugging Face's tensors under fair-esm's names; an unknown name is kept as it is."""
    renamed = {}
    for published, tensor in tensors.items():
        name = published.removeprefix("esm.")
        if HUGGING_FACE_UNUSED.search(name):
            continue
        module, _, kind = name.rpartition(".")
        layer = re.fullmatch(r"encoder\.layer\.(\d+)\.(.+)", module)
        if layer and layer[2] in HUGGING_FACE_LAYER_NAMES:
            name = f"layers.{layer[1]}.{HUGGING_FACE_LAYER_NAMES[layer[2]]}.{kind}"
        elif module in HUGGING_FACE_NAMES:
            name = f"{HUGGING_FACE_NAMES[module]}.{kind}"
        renamed[name] = tensor
    return renamed


def _frequencies(
    path: Path, tensors: Mapping[str, StoredTensor], head_width: int
) -> tuple[float, ...]:
    """Return the rotary frequencies in the file, which fair-esm computes with.

    A file in half precision has them rounded to half. Empty: they are those of the formula.
    """
    exact = np.array(esm2.rotary_frequencies(head_width))
    by_layer = []
    for name, tensor in tensors.items():
        if FREQUENCIES.search(name):
            if tensor.shape != exact.shape:
                raise InputError(
                    f"{path}: {name} has shape {tensor.shape}, expected {exact.shape}."
                )
            by_layer.append(tensor.read().astype(np.float64))
    if not by_layer:
        return ()
    first, *others = by_layer
    worst = float(np.abs(first / exact - 1).max())
    if not worst <= ROUNDED_FREQUENCIES:
        raise InputError(f"{path}: its rotary frequencies are {worst:.0%} off, so it is not ESM-2.")
    if any(not np.array_equal(first, other) for other in others):
        raise InputError(f"{path}: its layers differ in rotary frequencies, so it is not ESM-2.")
    return () if worst <= EXACT_FREQUENCIES else tuple(first.tolist())
