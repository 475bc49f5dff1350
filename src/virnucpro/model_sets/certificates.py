"""What was measured of a model set: `certified` in modelset.json, precision -> encoder -> figures.

The set's digest does not cover it. A measurement of other files than the set has now is void.
"""

from collections.abc import Iterable
from typing import Any

from virnucpro.errors import InputError
from virnucpro.files import atomic_write
from virnucpro.model_sets.description import DESCRIPTION, ModelSet, description_text
from virnucpro.model_sets.json_file import read_json

KEY = "certified"
Entries = dict[str, dict[str, Any]]  # precision -> encoder -> figures and what they depend on


def valid_entries(model_set: ModelSet) -> Entries:
    """Return what was measured of the files that the set has now."""
    measured = model_set.description.get(KEY)
    kept: Entries = {}
    for precision, roles in measured.items() if isinstance(measured, dict) else ():
        for role, entry in roles.items() if isinstance(roles, dict) else ():
            if isinstance(entry, dict) and entry.get("model_set_digest") == model_set.digest:
                kept.setdefault(precision, {})[role] = entry
    return kept


def certified_precisions(model_set: ModelSet) -> list[str]:
    """Return the precisions that every encoder passed that was measured in them."""
    entries = valid_entries(model_set)
    return sorted(p for p in entries if all(e.get("passed") is True for e in entries[p].values()))


def certificate_fault(model_set: ModelSet, precision: str) -> list[str]:
    """Return why ESM-2 may not compute in 8 bits; random weights hide what real ones show."""
    if precision != "fp8":
        return []
    measured = model_set.description.get(KEY)
    by_role = measured.get(precision) if isinstance(measured, dict) else None
    entry = by_role.get("esm2") if isinstance(by_role, dict) else None
    if not isinstance(entry, dict):
        reason = "was never measured with it"
    elif entry.get("model_set_digest") != model_set.digest:
        reason = "was measured with other files than the set has now"
    elif entry.get("passed") is not True:
        faults = entry.get("faults")
        reason = f"failed: {', '.join(map(str, faults)) if isinstance(faults, list) else faults}"
    else:
        return []
    return [
        f"--precision fp8: ESM-2 of the model set {model_set.name} {reason}. Measure it on your "
        f"GPU: virnucpro models check {model_set.folder} --certify --device cuda; or use another "
        "--precision."
    ]


def store_entries(model_set: ModelSet, measured: Iterable[tuple[str, str, dict[str, Any]]]) -> None:
    """Write (precision, encoder, entry) into modelset.json, at once; all else in it stays.

    Raises: InputError when the file cannot be written.
    """
    entries = valid_entries(model_set)
    for precision, role, entry in measured:
        entries.setdefault(precision, {})[role] = entry
    file = (model_set.folder / DESCRIPTION).resolve()
    text = description_text(read_json(file) | {KEY: entries})
    try:
        with atomic_write(file) as temporary:
            temporary.write_text(text)
            temporary.chmod(file.stat().st_mode)
    except OSError as error:
        raise InputError(
            f"{file}: cannot be written ({error.strerror}). Copy the model set to a folder of "
            "yours, and measure that."
        ) from error
