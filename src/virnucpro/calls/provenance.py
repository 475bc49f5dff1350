"""The note beside a sample's results: which models, rules and version made them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from virnucpro.files import write_text


def write_provenance(path: Path, sample: str, chunk_bp: int, models: Mapping[str, Any]) -> None:
    """Write the note as JSON, complete or not at all.

    Args:
        models: model set, digests of its components, rules, version (CHECK_MODEL_SET).
    """
    text = json.dumps({**models, "sample": sample, "chunk_bp": chunk_bp}, indent=2, sort_keys=True)
    write_text(path, text + "\n")
