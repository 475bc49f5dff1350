"""The note beside a sample's results: which models, rules and version made them."""

import json
from pathlib import Path

from virnucpro.errors import InputError
from virnucpro.files import write_text


def write_provenance(path: Path, sample: str, chunk_bp: int, made_by: str) -> None:
    """Write the note as JSON, complete or not at all.

    Args:
        made_by: JSON object of the pipeline: model set, digests of its components, version.
    Raises: InputError when it is none.
    """
    try:
        note = json.loads(made_by)
    except ValueError as error:
        raise InputError(f"--made-by: is no JSON ({error}).") from error
    if not isinstance(note, dict):
        raise InputError("--made-by: must be a JSON object.")
    text = json.dumps({**note, "sample": sample, "chunk_bp": chunk_bp}, indent=2, sort_keys=True)
    write_text(path, text + "\n")
