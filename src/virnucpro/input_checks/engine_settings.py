"""How the encoders compute: options of the embedding tasks, or a file of `virnucpro profile`."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from virnucpro.errors import InputError
from virnucpro.model_sets.description import ModelSet
from virnucpro.model_sets.json_file import read_json

ENCODERS = ("dnabert_s", "esm2")
PROFILE_FORMAT = 1
MIN_TOKEN_BUDGET = 1024
ATTENTION = ("auto", "reference", "sdpa", "triton", "varlen", "flash")
CPU_ATTENTION = ("auto", "sdpa", "reference")
CPU_PRECISIONS = ("auto", "fp32", "bf16")
OFFICIAL_PRECISIONS = ("auto", "fp32")


@dataclass(frozen=True)
class EncoderSettings:
    """Options of an encoder's tasks, all of them inputs: the last bits of a vector depend on them.

    Attributes:
        token_budget: None: the default.
    """

    device: str = "auto"
    precision: str = "auto"
    engine: str = "virnucpro"
    attention: str = "auto"
    token_budget: int | None = None


@dataclass(frozen=True)
class EngineOptions(EncoderSettings):
    """The parameters of the pipeline; engine_profile is the path as the user gave it."""

    engine_profile: str | None = None


def encoder_settings(
    model_set: ModelSet, options: EngineOptions, profile: Path | None
) -> tuple[dict[str, EncoderSettings], list[str]]:
    """Return the settings of each encoder, and what is wrong with the options.

    Args:
        profile: where the file of --engine_profile can be read; None: it is missing.
    """
    asked = EncoderSettings(
        options.device, options.precision, options.engine, options.attention, options.token_budget
    )
    # torch's kernel for packed batches has no ALiBi
    dna = replace(asked, attention="auto") if asked.attention == "varlen" else asked
    settings = {"dnabert_s": dna, "esm2": asked}
    faults = _exclusions(options)
    if options.engine_profile and not faults:
        try:
            settings = _profiled(model_set, options, asked, profile)
        except InputError as error:
            faults = [f"--engine_profile {options.engine_profile}: {error}"]
    return settings, faults


def _exclusions(options: EngineOptions) -> list[str]:
    """Return which options exclude each other."""
    faults = []
    on_cpu = options.device == "cpu"
    if on_cpu and options.precision not in CPU_PRECISIONS:
        faults.append(
            f"--precision {options.precision} needs a GPU: with --device cpu use auto, fp32 or bf16"
        )
    if on_cpu and options.attention not in CPU_ATTENTION:
        faults.append(
            f"--attention {options.attention} needs a GPU: with --device cpu use auto, sdpa or "
            "reference"
        )
    if options.engine == "official":
        given = {
            "precision": options.precision not in OFFICIAL_PRECISIONS,
            "attention": options.attention != "auto",
            "token_budget": options.token_budget is not None,
            "engine_profile": options.engine_profile is not None,
        }
        faults += [
            f"--engine official computes in fp32 with its own attention and batches: omit --{name}"
            for name, excluded in given.items()
            if excluded
        ]
    if options.engine_profile and (options.token_budget or options.attention != "auto"):
        faults.append(
            "--engine_profile sets attention and token_budget: omit --attention and --token_budget"
        )
    return faults


def _profiled(
    model_set: ModelSet, options: EngineOptions, asked: EncoderSettings, file: Path | None
) -> dict[str, EncoderSettings]:
    """Return the settings that `virnucpro profile` recommends for this set.

    Raises: InputError for a file that is missing, damaged or of something else.
    """
    again = "Make it again with virnucpro profile."
    if file is None:
        raise InputError("there is no such file.")
    try:
        profile = read_json(file)
    except InputError as error:
        raise InputError(f"is not a JSON file ({error}). {again}") from error
    encoders = profile.get("encoders")
    if profile.get("format") != PROFILE_FORMAT or not isinstance(encoders, dict):
        raise InputError(f"is not a file of virnucpro profile. {again}")
    faults = []
    settings = {}
    for role in ENCODERS:
        entry: dict[str, Any] = encoders[role] if isinstance(encoders.get(role), dict) else {}
        attention, budget = entry.get("attention"), entry.get("token_budget")
        if attention not in ATTENTION:
            faults.append(f"encoders.{role}.attention is {attention}")
        if type(budget) is not int or budget < MIN_TOKEN_BUDGET:
            faults.append(f"encoders.{role}.token_budget is {budget}")
        if entry.get("component_sha256") != model_set.component(role).sha256:
            faults.append(f"encoders.{role} is another than that of --model_set")
        settings[role] = replace(asked, attention=str(attention), token_budget=budget)
    if options.precision not in (profile.get("precision"), profile.get("asked_precision")):
        faults.append(f"it was measured with --precision {profile.get('asked_precision')}")
    if options.device == "cpu" and profile.get("device_type") != "cpu":
        faults.append("it was measured on a GPU")
    if faults:
        raise InputError("\n    ".join(["", *faults, again]))
    return settings
