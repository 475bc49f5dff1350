"""The manifest of a sample's folder: which files there are, with their size and sha256."""

import json
from pathlib import Path
from typing import NamedTuple

from virnucpro.errors import InputError
from virnucpro.files import file_sha256, write_json

MANIFEST_FILE = "manifest.json"
FORMAT_VERSION = 1


class FileEntry(NamedTuple):
    """What the manifest says of a file; sha256 as hexadecimal digits."""

    num_bytes: int
    sha256: str


def write_manifest(folder: Path) -> None:
    """Write the manifest of all files in a folder."""
    paths = sorted(p for p in folder.iterdir() if p.name != MANIFEST_FILE)
    files = {p.name: {"bytes": p.stat().st_size, "sha256": file_sha256(p)} for p in paths}
    write_json(folder / MANIFEST_FILE, {"format_version": FORMAT_VERSION, "files": files})


def read_manifest(folder: Path) -> dict[str, FileEntry]:
    """Return the entries of a folder's manifest by the files' relative paths.

    Raises: InputError when there is none, or not one of this format.
    """
    path = folder / MANIFEST_FILE
    try:
        content = json.loads(path.read_bytes())
        version = content["format_version"]
        files = {
            str(name): FileEntry(int(entry["bytes"]), str(entry["sha256"]))
            for name, entry in content["files"].items()
        }
    except FileNotFoundError as error:
        raise InputError(f"{MANIFEST_FILE} is missing") from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{MANIFEST_FILE} cannot be read ({error!r})") from error
    if version != FORMAT_VERSION:
        raise InputError(f"{MANIFEST_FILE} has format {version!r}, not {FORMAT_VERSION}")
    return files
