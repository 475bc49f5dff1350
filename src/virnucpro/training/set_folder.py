"""The folder of a model set that is trained here: written as a whole, and its calibrations."""

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from virnucpro.consensus.calibration_file import to_json
from virnucpro.consensus.calibrator import Calibration
from virnucpro.files import write_text
from virnucpro.model_sets.calibration_entries import made_for
from virnucpro.model_sets.description import read_model_set, write_description


@contextmanager
def new_set_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder to write into, which replaces `folder` at the end.

    After an error `folder` stays as it was.
    """
    temporary, old = (folder.with_name(f".{folder.name}.{end}") for end in ("tmp", "old"))
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    yield temporary
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    temporary.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def write_calibration(
    folder: Path, calibration: Calibration, chunk_bp: int, frame_rule: str
) -> Path:
    """Put a calibration into a model set, replacing one for the same chunks; return its file.

    The file says which components and chunks it was made for, and is refused for others.

    Args:
        folder: of the set whose scores the calibration was fitted to.
        chunk_bp, frame_rule: of the chunks that were scored; with the set's own min_residues.
    Raises: InputError for a folder without a model set, or a malformed one.
    """
    model_set = read_model_set(folder)
    path = folder / f"calibration-{chunk_bp}-{frame_rule}.json"
    text = to_json(replace(calibration, made_for=made_for(model_set, chunk_bp, frame_rule)))
    write_text(path, text)
    entry = {
        "chunk_bp": chunk_bp,
        "frame_rule": frame_rule,
        "file": path.name,
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
    }
    others: Sequence[dict[str, Any]] = model_set.description.get("calibration") or []
    kept = [c for c in others if (c["chunk_bp"], c["frame_rule"]) != (chunk_bp, frame_rule)]
    description = model_set.description | {"calibration": [*kept, entry]}
    write_description(folder, description)
    return path
