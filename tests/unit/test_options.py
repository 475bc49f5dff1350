"""The options of the encoders are the same in code, schema and back ends."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from virnucpro.engine.device import DTYPES
from virnucpro.models import attention, options

SCHEMA = json.loads((Path(__file__).parents[2] / "nextflow_schema.json").read_text())
RULES: dict[str, Any] = {
    name: rule for group in SCHEMA["$defs"].values() for name, rule in group["properties"].items()
}


@pytest.mark.parametrize(
    "parameter, names",
    [
        ("device", options.DEVICES),
        ("engine", options.ENGINES),
        ("precision", options.PRECISIONS),
        ("attention", options.ATTENTION),
    ],
)
def test_the_schema_has_the_same_values(parameter: str, names: tuple[str, ...]) -> None:
    assert tuple(RULES[parameter]["enum"]) == names
    assert RULES[parameter]["default"] == names[0]


def test_the_schema_has_the_same_least_budget() -> None:
    assert RULES["token_budget"]["minimum"] == options.MIN_TOKEN_BUDGET


def test_every_name_has_an_implementation() -> None:
    assert ("auto", *DTYPES) == options.PRECISIONS
    assert set(options.ATTENTION) == {"auto", *attention.BACKENDS}


def test_a_cpu_has_the_attention_that_it_is_said_to_have() -> None:
    scheme, cpu = attention.Scheme(4, 16), torch.device("cpu")
    usable = [n for n in attention.BACKENDS if not attention.why_not(n, scheme, cpu, torch.float32)]
    assert {"auto", *usable} == set(options.CPU_ATTENTION)
