"""Official files, recognised by their content."""

import functools
from dataclasses import dataclass
from pathlib import Path

from virnucpro.model_import.content_check import digests
from virnucpro.model_import.sources_table import read_table


@dataclass(frozen=True)
class KnownFile:
    """A published file, of the table that `models fetch` uses.

    Attributes:
        name: publisher and file name.
        digests: sha256 or git's blob id, or both, as published.
        chunk_bp: for a classifier, the length of the chunks that it was trained on.
    """

    name: str
    digests: frozenset[str]
    chunk_bp: int | None


@functools.cache
def known_files() -> tuple[KnownFile, ...]:
    """Return the files of assets/models.toml that have a published checksum."""
    table = read_table()
    trained_on = {official.classifier: official.chunk_bp for official in table.sets.values()}
    return tuple(
        KnownFile(
            f"{file.source} {file.name}",
            frozenset(digest for digest in (file.sha256, file.git_blob) if digest),
            trained_on.get(file),
        )
        for file in table.files.values()
        if file.is_pinned
    )


@dataclass(frozen=True)
class Identity:
    """A source file, and which published file it is.

    Attributes:
        path, num_bytes, sha256: of the file.
        known: the published file, None for any other.
    """

    path: Path
    num_bytes: int
    sha256: str
    known: KnownFile | None


def identify(path: Path) -> Identity:
    """Return which file this is, by its content."""
    sha256, git_blob, num_bytes = digests(path)
    known = next((file for file in known_files() if file.digests & {sha256, git_blob}), None)
    return Identity(path, num_bytes, sha256, known)
