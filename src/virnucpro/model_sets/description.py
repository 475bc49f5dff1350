"""A model set as its modelset.json describes it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from virnucpro.errors import InputError
from virnucpro.files import write_text
from virnucpro.model_sets.digest import COMPONENTS, set_digest
from virnucpro.model_sets.json_file import read_json
from virnucpro.model_sets.rules import (
    CalibrationEntry,
    FrameRule,
    calibration_entries,
    calibration_faults,
    frame_rule,
    is_sha256,
    rule_faults,
)
from virnucpro.scoring.composition_features import COMPOSITION_WIDTH

FORMAT = 1
WIDTHS = {"dnabert_s": "width", "esm2": "width", "classifier": "input_width"}


@dataclass(frozen=True)
class Component:
    """One file of a set.

    Attributes:
        role: one of COMPONENTS; path: of the file.
        sha256: that it must have; entry: what modelset.json says of it.
    """

    role: str
    path: Path
    sha256: str
    entry: dict[str, Any]


@dataclass(frozen=True)
class ModelSet:
    """A set and its components, in the order of COMPONENTS.

    Attributes:
        folder: of the set.
        description: content of modelset.json.
    """

    folder: Path
    description: dict[str, Any]
    components: tuple[Component, ...]

    @property
    def name(self) -> str:
        """Return the name of the set."""
        return str(self.description["name"])

    @property
    def digest(self) -> str:
        """Return the sha256 of what results depend on (model_sets.digest)."""
        return set_digest(self.description)

    @property
    def frame_rule(self) -> FrameRule:
        """Return the set's own frame rule."""
        return frame_rule(self.description["frame_rule"])

    @property
    def calibrations(self) -> tuple[CalibrationEntry, ...]:
        """Return its calibrations, in the order of modelset.json."""
        return calibration_entries(self.description.get("calibration"))

    def component(self, role: str) -> Component:
        """Return the component of a role."""
        return self.components[COMPONENTS.index(role)]


def read_model_set(folder: Path) -> ModelSet:
    """Read modelset.json; the files that it names are not opened.

    Raises: InputError for a folder that is no set, or whose parts do not fit together.
    """
    file = folder / "modelset.json"
    if not file.exists():
        raise InputError(f"{folder}: there is no modelset.json in it. Give the folder of a set.")
    description = read_json(file)
    if description.get("format") != FORMAT:
        raise InputError(
            f"{file}: has format {ascii(description.get('format'))[:40]}, this version reads "
            f"{FORMAT}. Update virnucpro, or build the set again."
        )
    if faults := _faults(description):
        raise InputError(
            f"{file}: missing or not as docs/model_sets.md says: {', '.join(faults)}. Build or "
            "fetch the set again, or mend modelset.json."
        )
    entries = description["components"]
    components = tuple(
        Component(
            role, folder / entries[role]["file"], entries[role]["sha256"].lower(), entries[role]
        )
        for role in COMPONENTS
    )
    model_set = ModelSet(folder, description, components)
    _check_widths(model_set)
    return model_set


def write_description(folder: Path, description: dict[str, Any]) -> None:
    """Write modelset.json into a folder, complete or not at all."""
    write_text(folder / "modelset.json", description_text(description))


def description_text(description: dict[str, Any]) -> str:
    """Return the text of modelset.json."""
    return json.dumps(description, indent=2, sort_keys=True) + "\n"


def _faults(description: dict[str, Any]) -> list[str]:
    """Return the keys that are not as they must be; workflows/model_set.nf has the same."""
    chunk_bp = description.get("chunk_bp")
    lengths = chunk_bp if isinstance(chunk_bp, list) else []
    fits = {
        "name": bool(description.get("name")) and isinstance(description["name"], str),
        "chunk_bp": bool(lengths) and all(type(bp) is int and bp > 0 for bp in lengths),
    }
    faults = [key for key, fit in fits.items() if not fit]
    faults += rule_faults(description.get("frame_rule"))
    components = description.get("components")
    for role in COMPONENTS:
        entry = components.get(role) if isinstance(components, dict) else None
        entry = entry if isinstance(entry, dict) else {}
        file, sha256 = entry.get("file"), entry.get("sha256")
        fits = {"file": isinstance(file, str) and bool(file), "sha256": is_sha256(sha256)}
        if width := WIDTHS.get(role):
            fits[width] = type(entry.get(width)) is int
        if role == "classifier":
            fits["composition_features"] = entry.get("composition_features") in (
                None,
                0,
                COMPOSITION_WIDTH,
            )
        faults += [f"components.{role}.{key}" for key, fit in fits.items() if not fit]
    return faults + calibration_faults(description.get("calibration"))


def _check_widths(model_set: ModelSet) -> None:
    dna, protein, given = (model_set.component(r).entry[WIDTHS[r]] for r in WIDTHS)
    counts = model_set.component("classifier").entry.get("composition_features") or 0
    if dna + protein + counts != given:
        counted = f" and counts {counts}" if counts else ""
        raise InputError(
            f"{model_set.folder}: the encoders give {dna} + {protein} numbers a frame{counted}, "
            f"the classifier takes {given}. They are of different model sets."
        )
