"""JSON files that come from elsewhere."""

import json
from pathlib import Path
from typing import Any

from virnucpro.errors import InputError

MAX_JSON_BYTES = 16 << 20


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object of a file.

    Raises: InputError naming the file.
    """
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise InputError(f"{path}: is larger than {MAX_JSON_BYTES >> 20} MiB.")
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is no readable JSON. Copy it again.") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: is JSON, but no object. Give the published file as it is.")
    return value
