"""The table of official model files, assets/models.toml: addresses, sizes and checksums."""

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

from virnucpro.errors import InputError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# Package data: in the checkout a link to assets/models.toml, in an installed package a copy of it.
TABLE = Path(__file__).with_name("models.toml")
HEX_DIGITS = {"sha256": 64, "git_blob": 40}


@dataclass(frozen=True)
class SourceFile:
    """A published file, and what its source states about its content.

    Attributes:
        name: as published.
        folder: sub-folder that it is kept in; empty for a name that is unique.
        size_bytes, sha256, git_blob (git's SHA-1 of it): None where no source states it.
        width: of the embedding, for an encoder.
    """

    name: str
    url: str
    source: str
    licence: str
    folder: str = ""
    size_bytes: int | None = None
    sha256: str | None = None
    git_blob: str | None = None
    width: int | None = None

    @property
    def is_pinned(self) -> bool:
        """Return whether a source states a checksum."""
        return bool(self.sha256 or self.git_blob)

    @property
    def path(self) -> str:
        """Return its place in a folder of downloads."""
        return f"{self.folder}/{self.name}" if self.folder else self.name


@dataclass(frozen=True)
class OfficialSet:
    """The files of a model set.

    Attributes:
        esm2_width: of the ESM-2 embedding that the classifier takes.
    """

    name: str
    classifier: SourceFile
    dnabert_s: tuple[SourceFile, ...]
    esm2: SourceFile
    esm2_width: int
    chunk_bp: int

    @property
    def files(self) -> tuple[SourceFile, ...]:
        """Return all files, small ones first, so that a faulty network shows early."""
        files = (self.classifier, *self.dnabert_s, self.esm2)
        return tuple(sorted(files, key=lambda file: file.size_bytes or 0))


@dataclass(frozen=True)
class SourcesTable:
    """The content of the table, by key."""

    files: dict[str, SourceFile]
    sets: dict[str, OfficialSet]

    def official_set(self, name: str, esm2: str | None = None) -> OfficialSet:
        """Return a set, with another ESM-2 if one is named.

        Args:
            name: of the set.
            esm2: key of an ESM-2 file, or its size alone: 3B, 650M; None for the set's own.
        Raises: InputError listing the known names, or when the classifier takes another width.
        """
        if name not in self.sets:
            raise InputError(
                f"{name}: no such official model set. Known are: {', '.join(self.sets)}."
            )
        if esm2 is None:
            return self.sets[name]
        encoders = [key for key in self.files if key.startswith("esm2_")]
        matches = [key for key in encoders if esm2 == key or esm2 in key.split("_")[2:3]]
        if len(matches) != 1:
            raise InputError(f"--esm2 {esm2}: no such encoder. Known are: {', '.join(encoders)}.")
        chosen, needed = self.files[matches[0]], self.sets[name].esm2_width
        if chosen.width not in (None, needed):
            raise InputError(
                f"--esm2 {esm2}: gives {chosen.width} numbers a frame, the classifier of {name} "
                f"takes {needed}. Omit --esm2, or train a classifier for it."
            )
        return replace(self.sets[name], esm2=chosen)


def read_table(path: Path | None = None) -> SourcesTable:
    """Read a table; the project's own by default.

    Raises: InputError naming every faulty entry.
    """
    path = path or TABLE
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"{path}: the table of official model files cannot be read ({error.strerror}). It is "
            "assets/models.toml of the project: run from a complete checkout, or give a table "
            "with --sources."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is not a TOML file ({error}). Copy it again.") from error
    file_entries, set_entries = content.get("files", {}), content.get("sets", {})
    faults = []
    for key, entry in file_entries.items():
        if fault := _file_fault(entry):
            faults.append(f"files.{key}: {fault}")
    for name, entry in set_entries.items():
        if fault := _set_fault(entry, file_entries):
            faults.append(f"sets.{name}: {fault}")
    if faults:
        raise InputError(f"{path}: is faulty:\n  " + "\n  ".join(faults))
    files = {key: SourceFile(**entry) for key, entry in file_entries.items()}
    sets = {
        name: OfficialSet(
            name,
            files[entry["classifier"]],
            tuple(files[key] for key in entry["dnabert_s"]),
            files[entry["esm2"]],
            entry["esm2_width"],
            entry["chunk_bp"],
        )
        for name, entry in set_entries.items()
    }
    return SourcesTable(files, sets)


def _file_fault(entry: object) -> str:
    """Return what is wrong with an entry of [files]; "" for nothing."""
    if not isinstance(entry, dict):
        return "must be a table"
    known = {field.name for field in fields(SourceFile)}
    wrong = [f"{name} is unknown" for name in sorted(entry.keys() - known)]
    for name in ("name", "url", "source", "licence"):
        if not isinstance(entry.get(name), str) or not entry[name]:
            wrong.append(f"{name} is missing")
    for name in ("name", "folder"):  # they become paths
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", str(entry.get(name, "x"))):
            wrong.append(f"{name} must consist of letters, digits, '.', '_' and '-'")
    for name, digits in HEX_DIGITS.items():
        if not re.fullmatch(f"[0-9a-f]{{{digits}}}", str(entry.get(name, "0" * digits))):
            wrong.append(f"{name} must have {digits} hexadecimal digits")
    for name in ("size_bytes", "width"):
        number = entry.get(name, 1)
        if not isinstance(number, int) or number < 1:
            wrong.append(f"{name} must be an integer >= 1")
    return ", ".join(wrong)


def _set_fault(entry: object, files: Mapping[str, object]) -> str:
    """Return what is wrong with an entry of [sets], whose files are keys of [files]; or ""."""
    kinds = {"classifier": str, "dnabert_s": list, "esm2": str, "esm2_width": int, "chunk_bp": int}
    if not isinstance(entry, dict) or {k: type(v) for k, v in entry.items()} != kinds:
        expected = ", ".join(f"{key} ({kind.__name__})" for key, kind in kinds.items())
        return f"must have exactly {expected}"
    keys = (entry["classifier"], *entry["dnabert_s"], entry["esm2"])
    missing = [key for key in keys if key not in files]
    return f"no entry files.{', files.'.join(missing)}" if missing else ""
