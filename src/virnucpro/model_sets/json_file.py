"""JSON files that come from elsewhere."""

import json
import math
from pathlib import Path
from typing import Any

from virnucpro.errors import InputError, excerpt

MAX_JSON_BYTES = 16 << 20


def read_json(path: Path, name: Path | None = None) -> dict[str, Any]:
    """Return the JSON object of a file.

    Raises: InputError naming the file, by `name` where it is read from a copy.
    """
    name = name or path
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise InputError(f"{name}: is larger than {MAX_JSON_BYTES >> 20} MiB.")
        value = json.loads(
            path.read_bytes(), parse_constant=_finite_number, parse_float=_finite_number
        )
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{name}: is not readable JSON ({error}). It was cut short or edited: copy it again."
        ) from error
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror or error}).") from error
    if not isinstance(value, dict):
        raise InputError(f"{name}: is JSON, but not an object. Give the published file as it is.")
    return value


def _finite_number(text: str) -> float:
    """Return a number; JSON has neither NaN nor infinity, in words or as 1e999."""
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{excerpt(text)} is not a number of JSON")
    return value
