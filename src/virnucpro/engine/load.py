"""From a component file to a model ready to embed: which forward, attention and token budget."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from virnucpro.engine.device import (
    DTYPES,
    MEMORY_SHARE,
    fix_numerics,
    numerics_key,
    token_budget,
)
from virnucpro.engine.embed import Model
from virnucpro.errors import InputError
from virnucpro.models import attention
from virnucpro.models.component import Encoder, load_component
from virnucpro.models.dnabert_s import DnabertS
from virnucpro.models.esm2 import ESM2
from virnucpro.models.in_place import InPlaceDnabertS, InPlaceESM2

log = logging.getLogger(__name__)
ENGINES = ("virnucpro", "official")
HALF = ("fp16", "bf16", "fp8")
FP8_CAPABILITY = (8, 9)


@dataclass(frozen=True)
class Engine:
    """A model and all that its numbers depend on.

    Attributes:
        encoder: the plain module, which holds the weights.
        model: what embeds: the same module, or a faster form of it.
        token_budget: tokens of a batch.
        numerics: the numerics key.
        exact: makes the float32 model for sequences that overflow in half precision.
    """

    encoder: Encoder
    model: Model
    token_budget: int
    numerics: dict[str, str | int]
    exact: Callable[[], Model]

    def with_budget(self, budget: int) -> "Engine":
        """Return the same engine with another token budget, which is another numerics key."""
        numerics = {**self.numerics, "token_budget": budget}
        return replace(self, token_budget=budget, numerics=numerics)


def load_engine(
    path: Path,
    sha256: str,
    device: torch.device,
    precision: str,
    *,
    attention_name: str = "auto",
    engine: str = "virnucpro",
    budget: int | None = None,
) -> Engine:
    """Return the engine for an encoder's component file.

    Args:
        sha256: of the file.
        precision: fp32, tf32, fp16, bf16 or fp8. DNABERT-S has no 8-bit form: fp8 is fp16 there.
        attention_name: a back end of models.attention, or auto.
        engine: "virnucpro", or "official": the authors' own forward, for comparison, with a budget
            of its own.
        budget: tokens of a batch; default: by model and memory of the device.
    Raises: InputError for a file that is not the expected one, and for what cannot run here.
    """
    fix_numerics(tf32=precision == "tf32")
    encoder = load_component(path, sha256, device, DTYPES[precision])
    if precision == "fp8" and isinstance(encoder, DnabertS):
        precision = "fp16"
        log.info("dnabert_s has no 8-bit form: it computes in fp16")
    if engine == "official":
        if budget:
            raise InputError("--engine official: has its own batches. Leave --token-budget away.")
        from virnucpro.engine.official import official_engine

        return official_engine(encoder, device, precision, attention_name)
    dtype = DTYPES[precision]
    encoder.attention = attention.choose(attention_name, encoder.scheme, device, dtype)
    budget = budget or token_budget(encoder, precision, device)
    num_weights = sum(weight.numel() for weight in encoder.parameters())
    model: Model = encoder
    path_name = "plain"
    if device.type == "cuda" and precision in HALF:
        model = _fused(encoder, device, precision)  # which may free some of the weights
        path_name = "plain" if model is encoder else "fused"
    elif device.type == "cpu" and precision == "fp32":
        model, path_name = _in_place(encoder), "in place"
    log.info(
        "%s on %s in %s: %s path, %s attention, %d tokens a batch",
        encoder.architecture, device, precision, path_name, encoder.attention, budget,
    )  # fmt: skip

    def exact() -> Model:
        return load_component(path, sha256, _device_with_room(num_weights, dtype, device))

    package = "flash-attn" if encoder.attention == "flash" else None
    numerics = numerics_key(device, precision, budget, path_name, encoder.attention, package)
    return Engine(encoder, model, budget, numerics, exact)


def _device_with_room(num_weights: int, dtype: torch.dtype, device: torch.device) -> torch.device:
    """Return the GPU where it holds an encoder once more in float32, else the CPU."""
    if device.type == "cpu":
        return device
    room = MEMORY_SHARE * torch.cuda.get_device_properties(device).total_memory
    return device if num_weights * (4 + dtype.itemsize) < room else torch.device("cpu")


def _in_place(encoder: Encoder) -> Model:
    """Return the form of an encoder for float32 on a CPU."""
    return InPlaceESM2(encoder) if isinstance(encoder, ESM2) else InPlaceDnabertS(encoder)


def _fused(encoder: Encoder, device: torch.device, precision: str) -> Model:
    """Return the fused form of an encoder; where it cannot run the encoder, and why in one line.

    Raises: InputError where 8 bits were asked for and cannot be had.
    """
    reason = attention.why_no_triton(device)
    if precision == "fp8" and not reason and torch.cuda.get_device_capability() < FP8_CAPABILITY:
        reason = "8-bit products need compute capability 8.9 or newer."
    if reason and precision == "fp8":
        raise InputError(f"--precision fp8: {reason} Use fp16.")
    if reason:
        log.warning("the plain path, some times slower: %s", reason)
        return encoder
    from virnucpro.models.fused import FusedDnabertS, FusedESM2
    from virnucpro.models.fused_fp8 import FusedESM2Fp8

    if isinstance(encoder, ESM2):
        return FusedESM2Fp8(encoder) if precision == "fp8" else FusedESM2(encoder)
    return FusedDnabertS(encoder)
