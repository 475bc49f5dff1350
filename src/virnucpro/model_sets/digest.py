"""The digest of a model set: of what results depend on, not of names, places and notes."""

import hashlib
from collections.abc import Mapping
from typing import Any

from virnucpro.model_sets.rules import calibration_entries, frame_rule

COMPONENTS = ("dnabert_s", "tokenizer", "esm2", "classifier")


def set_digest(description: Mapping[str, Any]) -> str:
    """Return the sha256 (hex) over format, chunk lengths, frame rule, components and calibrations.

    One line each. What means the same gives the same digest, however it is written.

    Args:
        description: content of modelset.json, without a fault.
    """
    lines = [
        f"format {description['format']}",
        f"chunk_bp {','.join(str(int(length)) for length in description['chunk_bp'])}",
        f"frame_rule {frame_rule(description['frame_rule'])}",
        *(f"{name} {description['components'][name]['sha256'].lower()}" for name in COMPONENTS),
        *sorted(
            f"calibration {entry.chunk_bp} {entry.frame_rule} {entry.sha256}"
            for entry in calibration_entries(description.get("calibration"))
        ),
    ]
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()
