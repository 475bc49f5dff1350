"""Whether a local file is the official one, by a published checksum or its first fetch."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from virnucpro.errors import InputError
from virnucpro.files import file_blocks, write_text
from virnucpro.model_import.progress import byte_progress
from virnucpro.model_import.sources_table import SourceFile

MAX_GIT_BLOB_BYTES = 100 << 20  # a repository holds no larger ones
RECORD = "first_fetch.json"  # in the folder of downloads


class WrongContentError(InputError):
    """The content is not what the table, or the record of the first fetch, says."""


@dataclass(frozen=True)
class CheckedFile:
    """An official file on this machine.

    Attributes:
        check: what its content was compared with, in words.
    """

    source: SourceFile
    path: Path
    sha256: str
    check: str


def check_content(file: SourceFile, path: Path, cache: Path) -> CheckedFile:
    """Compare a local file with all that is known of it; record its sha256 where none is.

    Args:
        cache: the folder of downloads, which has the record of first fetches.
    Raises: WrongContentError naming the actual and the expected value.
    """
    sha256, git_blob, size = digests(path)
    for name, unit, expected, actual in (
        ("size", " bytes", file.size_bytes, size),
        ("sha256", "", file.sha256, sha256),
        ("git blob id", "", file.git_blob, git_blob),
    ):
        if expected is not None and expected != actual:
            raise WrongContentError(
                f"{path}: {name} is {actual}{unit}, the official {file.name} has {expected}{unit}."
            )
    if file.is_pinned:
        name = "sha256" if file.sha256 else "git blob id"
        return CheckedFile(file, path, sha256, f"{name} as published")
    record = cache / RECORD
    fetched = _read_record(record)
    known = fetched.get(file.path)
    if known is None:
        today = datetime.now(timezone.utc).date().isoformat()
        fetched[file.path] = {"sha256": sha256, "url": file.url, "date": today}
        write_text(record, json.dumps(fetched, indent=2, sort_keys=True) + "\n")
        check = "recorded at this first fetch, no source states a checksum"
        return CheckedFile(file, path, sha256, check)
    if known["sha256"] != sha256:
        raise WrongContentError(
            f"{path}: sha256 is {sha256}, at the first fetch on {known['date']} it was "
            f"{known['sha256']} ({record}). Find out which is the official one; to "
            "accept the new one, delete its entry from that record."
        )
    check = f"as at the first fetch on {known['date']}, no source states a checksum"
    return CheckedFile(file, path, sha256, check)


def _read_record(record: Path) -> dict[str, dict[str, str]]:
    """Return path in the folder -> sha256, url, date.

    Raises: InputError when the record is damaged.
    """
    if not record.exists():
        return {}
    try:
        content = json.loads(record.read_text())
        return {name: {k: str(v) for k, v in entry.items()} for name, entry in content.items()}
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(
            f"{record}: the record of first fetches cannot be read ({error}). Restore it, or "
            "delete it to trust what is fetched next."
        ) from error


def digests(path: Path) -> tuple[str, str, int]:
    """Return sha256, git's blob id (both hexadecimal) and the size in bytes of a file.

    A file too large for a repository has "" as its blob id.
    """
    size = path.stat().st_size
    sha256 = hashlib.sha256()
    git_blob = hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
    has_blob = size <= MAX_GIT_BLOB_BYTES
    with byte_progress(f"hashing {path.name}", size) as progress:
        for block in file_blocks(path):
            sha256.update(block)
            if has_blob:
                git_blob.update(block)
            progress.update(len(block))
    return sha256.hexdigest(), git_blob.hexdigest() if has_blob else "", size
