"""Official files, recognised by their content."""

from dataclasses import dataclass
from pathlib import Path

from virnucpro.model_import.content_check import digests
from virnucpro.model_import.sources_table import read_table

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Identity:
    """A source file, and which file of assets/models.toml it is.

    Attributes:
        path, num_bytes, sha256: of the file.
        known_as: publisher and name of the published file, UNKNOWN for any other.
        chunk_bp: for a published classifier, the length of the chunks that it was trained on.
    """

    path: Path
    num_bytes: int
    sha256: str
    known_as: str
    chunk_bp: int | None


def identify(path: Path) -> Identity:
    """Return which file this is, by its content."""
    sha256, git_blob, num_bytes = digests(path)
    table = read_table()
    known = next(
        (f for f in table.files.values() if f.sha256 == sha256 or f.git_blob == git_blob), None
    )
    known_as = f"{known.source} {known.name}" if known else UNKNOWN
    chunk_bp = next((s.chunk_bp for s in table.sets.values() if s.classifier == known), None)
    return Identity(path, num_bytes, sha256, known_as, chunk_bp)
