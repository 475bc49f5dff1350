"""From component files to an engine and its tokenizer: which forward pass, attention and budget."""

import logging
from pathlib import Path

import torch

from virnucpro.engine.device import DTYPES, fix_numerics, numerics_key
from virnucpro.engine.engine import Engine
from virnucpro.engine.memory import device_with_room, token_budget
from virnucpro.engine.official import official_engine
from virnucpro.errors import InputError
from virnucpro.files import check_sha256
from virnucpro.models import attention
from virnucpro.models.component import Encoder, load_component
from virnucpro.models.dnabert_s import DnabertS
from virnucpro.models.encoder import Model
from virnucpro.models.esm2 import ESM2
from virnucpro.models.in_place import InPlaceDnabertS, InPlaceESM2
from virnucpro.models.tokenizers import BpeTokenizer, EsmTokenizer, Tokenizer

log = logging.getLogger(__name__)
HALF_PRECISIONS = ("fp16", "bf16", "fp8")
FP8_CAPABILITY = (8, 9)


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
            raise InputError("--engine official: has its own batches. Omit --token-budget.")
        return official_engine(encoder, device, precision, attention_name)
    dtype = DTYPES[precision]
    encoder.attention = attention.choose(attention_name, encoder.scheme, device, dtype)
    budget = budget or token_budget(encoder, precision, device)
    num_weights = sum(weight.numel() for weight in encoder.parameters())
    model: Model = encoder
    path_name = "plain"
    if device.type == "cuda" and precision in HALF_PRECISIONS:
        model = _fused(encoder, device, precision)  # may free some of the weights
        path_name = "plain" if model is encoder else "fused"
    elif device.type == "cpu" and precision == "fp32":
        path_name = "in place"
        model = InPlaceESM2(encoder) if isinstance(encoder, ESM2) else InPlaceDnabertS(encoder)
    log.info(
        "%s on %s in %s: %s path, %s attention, %d tokens a batch",
        encoder.architecture, device, precision, path_name, encoder.attention, budget,
    )  # fmt: skip

    def exact() -> Model:
        return load_component(path, sha256, device_with_room(num_weights, dtype, device))

    package = "flash-attn" if encoder.attention == "flash" else None
    numerics = numerics_key(device, precision, budget, path_name, encoder.attention, package)
    return Engine(encoder, model, budget, numerics, exact)


def _fused(encoder: Encoder, device: torch.device, precision: str) -> Model:
    """Return the fused form of an encoder; the encoder, and a warning why, where that cannot run.

    Raises: InputError where 8 bits were asked for and cannot be had.
    """
    reason = attention.why_no_triton(device)
    if precision == "fp8" and not reason and torch.cuda.get_device_capability() < FP8_CAPABILITY:
        reason = "8-bit products need compute capability 8.9 or newer."
    if reason and precision == "fp8":
        raise InputError(f"--precision fp8: {reason} Use fp16.")
    if reason:
        log.warning("the plain path, several times slower: %s", reason)
        return encoder
    from virnucpro.models.fused import FusedDnabertS, FusedESM2
    from virnucpro.models.fused_fp8 import FusedESM2Fp8

    if isinstance(encoder, ESM2):
        return FusedESM2Fp8(encoder) if precision == "fp8" else FusedESM2(encoder)
    return FusedDnabertS(encoder)


def load_tokenizer(
    encoder: Encoder, device: torch.device, path: Path | None = None, sha256: str = ""
) -> Tokenizer:
    """Return the tokenizer of an encoder; for DNA the one that runs on the GPU, if it can.

    Args:
        path: tokenizer.json of DNABERT-S; ESM-2 has its alphabet. sha256: that it must have.
    Raises: InputError when a tokenizer.json is not the expected file, or has another number of
        tokens than the encoder.
    """
    if not isinstance(encoder, DnabertS):
        return EsmTokenizer(encoder.config.alphabet)
    assert path, "DNABERT-S comes with a tokenizer"
    check_sha256(path, sha256)
    tokenizer = _bpe_tokenizer(path, device)
    if tokenizer.vocab_size != encoder.config.vocab_size:
        raise InputError(
            f"{path}: {tokenizer.vocab_size} tokens, but the encoder has "
            f"{encoder.config.vocab_size}. They belong to different models: build the "
            "set again."
        )
    return tokenizer


def _bpe_tokenizer(path: Path, device: torch.device) -> BpeTokenizer:
    if device.type == "cuda" and not attention.why_no_triton(device):
        from virnucpro.models.gpu_tokenizer import GpuBpeTokenizer

        try:
            return GpuBpeTokenizer(path, device)
        except ValueError as error:
            log.info("tokenising on the CPU: %s", error)
    return BpeTokenizer(path)
