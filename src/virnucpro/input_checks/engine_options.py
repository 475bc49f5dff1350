"""How the encoders compute: options of the embedding tasks, or a file of `virnucpro profile`."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from virnucpro.errors import InputError
from virnucpro.model_sets.description import ModelSet
from virnucpro.model_sets.json_file import read_json
from virnucpro.models.options import (
    ATTENTION,
    CPU_ATTENTION,
    CPU_PRECISIONS,
    MIN_TOKEN_BUDGET,
    OFFICIAL_PRECISIONS,
    PROFILE_FORMAT,
)


@dataclass(frozen=True)
class EncoderOptions:
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
class EngineProfile:
    """The parameter --engine_profile.

    Attributes:
        name: as the user gave it.
        fault: why its file cannot be read; staged: where the task reads it otherwise.
    """

    name: str
    fault: str | None = None
    staged: Path | None = None


def encoder_options(
    model_set: ModelSet, asked: EncoderOptions, profile: EngineProfile | None
) -> tuple[dict[str, EncoderOptions], list[str]]:
    """Return the options of each encoder, and what is wrong with those asked for."""
    # torch's kernel for packed batches has no ALiBi
    dna = replace(asked, attention="auto") if asked.attention == "varlen" else asked
    by_encoder = {"dnabert_s": dna, "esm2": asked}
    faults = _exclusions(asked, profile)
    if profile and not faults:
        try:
            by_encoder = _profiled(model_set, asked, profile)
        except InputError as error:
            faults = [f"--engine_profile {profile.name}: {error}"]
    return by_encoder, faults


def _exclusions(asked: EncoderOptions, profile: EngineProfile | None) -> list[str]:
    """Return which options exclude each other."""
    faults = []
    on_cpu = asked.device == "cpu"
    if on_cpu and asked.precision not in CPU_PRECISIONS:
        faults.append(
            f"--precision {asked.precision} needs a GPU: with --device cpu use auto, fp32 or bf16"
        )
    if on_cpu and asked.attention not in CPU_ATTENTION:
        faults.append(
            f"--attention {asked.attention} needs a GPU: with --device cpu use auto, sdpa or "
            "reference"
        )
    if asked.engine == "official":
        given = {
            "precision": asked.precision not in OFFICIAL_PRECISIONS,
            "attention": asked.attention != "auto",
            "token_budget": asked.token_budget is not None,
            "engine_profile": profile is not None,
        }
        faults += [
            f"--engine official computes in fp32 with its own attention and batches: omit --{name}"
            for name, excluded in given.items()
            if excluded
        ]
    if profile and (asked.token_budget or asked.attention != "auto"):
        faults.append(
            "--engine_profile sets attention and token_budget: omit --attention and --token_budget"
        )
    return faults


def _profiled(
    model_set: ModelSet, asked: EncoderOptions, profile: EngineProfile
) -> dict[str, EncoderOptions]:
    """Return the options that `virnucpro profile` recommends for this set.

    Raises: InputError for a file that is missing, damaged or of something else.
    """
    again = "Make it again with virnucpro profile."
    if profile.staged is None:
        raise InputError(f"{profile.fault}.")
    try:
        content = read_json(profile.staged)
    except InputError as error:
        raise InputError(f"is not a JSON file ({error}). {again}") from error
    encoders = content.get("encoders")
    if content.get("format") != PROFILE_FORMAT or not isinstance(encoders, dict):
        raise InputError(f"is not a file of virnucpro profile. {again}")
    faults = []
    by_encoder = {}
    for role in ("dnabert_s", "esm2"):
        entry: dict[str, Any] = encoders[role] if isinstance(encoders.get(role), dict) else {}
        attention, budget = entry.get("attention"), entry.get("token_budget")
        if attention not in ATTENTION:
            faults.append(f"encoders.{role}.attention is {attention}")
        if type(budget) is not int or budget < MIN_TOKEN_BUDGET:
            faults.append(f"encoders.{role}.token_budget is {budget}")
        if entry.get("component_sha256") != model_set.component(role).sha256:
            faults.append(f"encoders.{role} is another than that of --model_set")
        by_encoder[role] = replace(asked, attention=str(attention), token_budget=budget)
    if asked.precision not in (content.get("precision"), content.get("asked_precision")):
        faults.append(f"it was measured with --precision {content.get('asked_precision')}")
    if asked.device == "cpu" and content.get("device_type") != "cpu":
        faults.append("it was measured on a GPU")
    if faults:
        raise InputError("\n    ".join(["", *faults, again]))
    return by_encoder
