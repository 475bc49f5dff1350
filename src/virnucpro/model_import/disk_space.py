"""Whether a disk has room for what is about to be written."""

import shutil
from pathlib import Path

from virnucpro.errors import InputError

SPARE_BYTES = 64 << 20  # left free


def check_disk_space(folder: Path, needed_bytes: int, what: str, remedy: str) -> None:
    """Refuse to start what the disk of a folder, which need not exist yet, cannot hold.

    Raises: InputError with both sizes, and the remedy.
    """
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if needed_bytes + SPARE_BYTES > free:
        raise InputError(
            f"{folder}: {what} needs {needed_bytes / 1e9:.2f} GB more, {free / 1e9:.2f} GB are "
            f"free. Free some, or {remedy}."
        )
