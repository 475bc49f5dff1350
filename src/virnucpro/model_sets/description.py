"""A model set as its modelset.json describes it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from virnucpro.errors import InputError
from virnucpro.model_sets.digest import set_digest
from virnucpro.model_sets.json_file import read_json

FORMAT = 1
ROLES = ("dnabert_s", "tokenizer", "esm2", "classifier")
SHA256_DIGITS = 64


@dataclass(frozen=True)
class Component:
    """One file of a set.

    Attributes:
        role: one of ROLES; path: of the file.
        sha256: that it must have; entry: what modelset.json says of it.
    """

    role: str
    path: Path
    sha256: str
    entry: dict[str, Any]


@dataclass(frozen=True)
class ModelSet:
    """A set and its components, in the order of ROLES.

    Attributes:
        folder: of the set; digest: of what results depend on (model_sets.digest).
        description: content of modelset.json.
    """

    folder: Path
    digest: str
    description: dict[str, Any]
    components: tuple[Component, ...]

    @property
    def name(self) -> str:
        """Return the name of the set."""
        return str(self.description.get("name"))

    def component(self, role: str) -> Component:
        """Return the component of a role."""
        return self.components[ROLES.index(role)]


def read_model_set(folder: Path) -> ModelSet:
    """Read modelset.json; the components are not opened.

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
    entries = description.get("components")
    entries = entries if isinstance(entries, dict) else {}
    faults = [role for role in ROLES if not _is_component(entries.get(role))]
    if faults:
        raise InputError(f"{file}: has no file and sha256 of {', '.join(faults)}. Build it again.")
    components = tuple(
        Component(role, folder / entries[role]["file"], entries[role]["sha256"], entries[role])
        for role in ROLES
    )
    _check_widths(ModelSet(folder, "", description, components))
    try:
        digest = set_digest(description)
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{file}: lacks chunk_bp or frame_rule ({error}). Build it again."
        ) from error
    return ModelSet(folder, digest, description, components)


def _is_component(entry: Any) -> bool:
    if not isinstance(entry, dict):
        return False
    file, sha256 = entry.get("file"), entry.get("sha256")
    return isinstance(file, str) and isinstance(sha256, str) and len(sha256) == SHA256_DIGITS


def _check_widths(model_set: ModelSet) -> None:
    dna, protein = (model_set.component(r).entry.get("width") for r in ("dnabert_s", "esm2"))
    given = model_set.component("classifier").entry.get("input_width")
    if not isinstance(dna, int) or not isinstance(protein, int) or dna + protein != given:
        raise InputError(
            f"{model_set.folder}: the encoders give {dna} + {protein} numbers a frame, the "
            f"classifier takes {given}. They are of different model sets."
        )
