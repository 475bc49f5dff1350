"""The model sets of some folders, as a table."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from virnucpro.errors import InputError
from virnucpro.model_sets.calibration_entries import load_entry
from virnucpro.model_sets.certificates import certified_precisions
from virnucpro.model_sets.description import ModelSet, read_model_set

FOLDERS_VARIABLE = "VIRNUCPRO_MODELS"  # folders of model sets, separated as in PATH
COLUMNS = (
    "set", "chunk_bp", "frame_rule", "dnabert_s", "esm2", "GB", "sources", "certified",
    "calibrated", "digest", "folder",
)  # fmt: skip
DIGEST_DIGITS = 12


def default_folders() -> list[Path]:
    """Return the folder of bundled sets, where there is one, and those of the environment."""
    bundled = Path(__file__).resolve().parents[3] / "models"
    named = os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep)
    return [*([bundled] if bundled.is_dir() else []), *(Path(name) for name in named if name)]


def list_sets(folders: Sequence[Path]) -> str:
    """Return a table of the sets that the folders are or hold, aligned, one line each.

    Raises: InputError for a folder that is not there; a damaged set has its fault in its line.
    """
    rows = [COLUMNS, *(row for folder in folders for row in _rows(folder))]
    widths = [max(len(row[place]) for row in rows) for place in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _rows(folder: Path) -> Iterator[tuple[str, ...]]:
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder.")
    inside = sorted(path for path in folder.iterdir() if (path / "modelset.json").exists())
    for path in [folder] if (folder / "modelset.json").exists() else inside:
        try:
            yield _row(read_model_set(path))
        except InputError as error:
            unknown = [""] * (len(COLUMNS) - 2)
            yield (path.name, *unknown, f"{path}: not usable: {str(error).splitlines()[0]}")


def _row(model_set: ModelSet) -> tuple[str, ...]:
    missing = [c.role for c in model_set.components if not c.path.exists()]
    size = sum(c.path.stat().st_size for c in model_set.components if c.path.exists())
    encoders = (
        f"{entry['width']} {entry.get('dtype', '?')}"
        for entry in (model_set.component(role).entry for role in ("dnabert_s", "esm2"))
    )
    return (
        model_set.name,
        ",".join(map(str, model_set.description["chunk_bp"])),
        str(model_set.frame_rule).replace(" ", ":"),
        *encoders,
        f"{size / 1e9:.2f}",
        f"missing: {','.join(missing)}" if missing else _sources(model_set),
        ",".join(certified_precisions(model_set)) or "no",
        ",".join(_calibrated(model_set)) or "no",
        model_set.digest[:DIGEST_DIGITS],
        str(model_set.folder),
    )


def _calibrated(model_set: ModelSet) -> Iterator[str]:
    """Yield what the set is calibrated for; InputError for a file that is not its own."""
    for entry in model_set.calibrations:
        try:
            load_entry(model_set, entry)
        except InputError as error:
            raise InputError(f"calibration for {entry}: {error}") from error
        yield f"{entry.chunk_bp}:{entry.frame_rule}"


def _sources(model_set: ModelSet) -> str:
    """Return which components come from files that we do not know."""
    unknown = [c.role for c in model_set.components if not _is_known(c.entry.get("source"))]
    return f"unknown: {','.join(unknown)}" if unknown else "known"


def _is_known(source: Any) -> bool:
    """Return whether a source is a published file, or a description as in the bundled sets."""
    if isinstance(source, dict):
        return source.get("known_as", "unknown") != "unknown"
    return isinstance(source, str)
