"""A model set as its modelset.json describes it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from virnucpro.errors import InputError, excerpt
from virnucpro.files import write_text
from virnucpro.json_schema import misfits
from virnucpro.model_sets.digest import COMPONENTS, set_digest
from virnucpro.model_sets.json_file import read_json
from virnucpro.model_sets.rules import (
    CalibrationEntry,
    FrameRule,
    calibration_entries,
    frame_rule,
)
from virnucpro.scoring.composition_features import COMPOSITION_WIDTH

DESCRIPTION = "modelset.json"
FORMAT = 1
COMPACT_SOURCE = "trained from scratch by tools/train_compact.py"  # `source` of its components
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
    def chunk_bp(self) -> list[int]:
        """Return the chunk lengths it was trained on, the default first."""
        return [int(length) for length in self.description["chunk_bp"]]

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


def is_compact(model_set: ModelSet) -> bool:
    """Return whether an encoder is one of tools/train_compact.py, and so too small for analysis.

    A set that was trained on top of such encoders is one, too, whatever its name and folder.
    """
    encoders = (model_set.component(role).entry for role in ("dnabert_s", "esm2"))
    return any(entry.get("source") == COMPACT_SOURCE for entry in encoders)


def read_model_set(folder: Path, staged: Path | None = None) -> ModelSet:
    """Read modelset.json; the files that it names are not opened.

    Args:
        folder: of the set.
        staged: where modelset.json is read instead, in a task that does not see the folder.
    Raises: InputError for a folder that is not a set, or whose parts do not fit together.
    """
    file = folder / DESCRIPTION
    if not (staged or file).exists():
        raise InputError(f"{folder}: there is no {DESCRIPTION} in it. Give the folder of a set.")
    description = read_json(staged or file, file)
    if description.get("format") != FORMAT:
        raise InputError(
            f"{file}: has format {excerpt(ascii(description.get('format')))}, this version reads "
            f"{FORMAT}. Update virnucpro, or build the set again."
        )
    if faults := _faults(description):
        raise InputError(
            f"{file}: missing or not as docs/model_sets.md says: {', '.join(faults)}. Build or "
            "fetch the set again, or fix modelset.json."
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
    write_text(folder / DESCRIPTION, description_text(description))


def description_text(description: dict[str, Any]) -> str:
    """Return the text of modelset.json."""
    return json.dumps(description, indent=2, sort_keys=True) + "\n"


def _faults(description: dict[str, Any]) -> list[str]:
    """Return each key that is not as it must be, and the cause in brackets."""
    schema = read_json(Path(__file__).with_name("modelset.schema.json"))
    faults = [f"{excerpt(place)} ({cause})" for place, cause in misfits(schema, description)]
    if faults:
        return faults
    features = description["components"]["classifier"].get("composition_features") or 0
    if features not in (0, COMPOSITION_WIDTH):
        faults.append(
            f"components.classifier.composition_features (must be 0 or {COMPOSITION_WIDTH})"
        )
    entries = [str(entry) for entry in calibration_entries(description.get("calibration"))]
    return faults + [
        f"calibration.{place} (a second one for {entry})"
        for place, entry in enumerate(entries)
        if entry in entries[:place]
    ]


def _check_widths(model_set: ModelSet) -> None:
    dna, protein, width = (model_set.component(r).entry[WIDTHS[r]] for r in WIDTHS)
    features = model_set.component("classifier").entry.get("composition_features") or 0
    if dna + protein + features != width:
        also = f", and there are {features} composition features;" if features else ","
        raise InputError(
            f"{model_set.folder}: the encoders give {dna} + {protein} numbers a frame{also} "
            f"the classifier takes {width}. They are of different model sets."
        )
