"""Official files, recognised by their content."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from virnucpro.model_sets.progress import Progress

BLOCK_BYTES = 1 << 24
MAX_GIT_BLOB_BYTES = 100 << 20  # a repository holds no larger ones


@dataclass(frozen=True)
class KnownFile:
    """A file that was published, and one of its digests.

    Attributes:
        name: for people.
        sha256: of its content; git_blob: of its content behind git's header; one may be missing.
        chunk_bp: for a classifier, the length of the chunks that it was trained on.
    """

    name: str
    sha256: str = ""
    git_blob: str = ""
    chunk_bp: int | None = None


KNOWN_FILES = (
    KnownFile(
        "VirNucPro 300_model.pth",
        git_blob="a0b5b85e7c1e44f00cde146d091beb82b2c8e855",
        chunk_bp=300,
    ),
    KnownFile(
        "VirNucPro 500_model.pth",
        git_blob="fc35d5ef9f1f4564eea7036f34f4f8ec6000d33d",
        chunk_bp=500,
    ),
    KnownFile(
        "DNABERT-S pytorch_model.bin",
        sha256="f3cfc3d0541859df64759e758cc4bc40fe1d5760799a7d098a9f9f09501c1e5f",
    ),
    KnownFile(
        "DNABERT-S tokenizer.json",
        sha256="667f5a0e6e9630f7052b004784dda7c7aeba395cc4ca3c01b11b02e6aa29d7b1",
    ),
)


@dataclass(frozen=True)
class Identity:
    """A source file and what it is.

    Attributes:
        path, num_bytes, sha256: of the file.
        known: the published file that it is, None for any other.
    """

    path: Path
    num_bytes: int
    sha256: str
    known: KnownFile | None


def identify(path: Path) -> Identity:
    """Return what a file is, by its content."""
    num_bytes = path.stat().st_size
    sha256 = hashlib.sha256()
    git_blob = hashlib.sha1(b"blob %d\0" % num_bytes, usedforsecurity=False)
    with path.open("rb") as stream, Progress(f"hashing {path.name}", num_bytes) as progress:
        while block := stream.read(BLOCK_BYTES):
            sha256.update(block)
            if num_bytes <= MAX_GIT_BLOB_BYTES:
                git_blob.update(block)
            progress.add(len(block))
    digests = {sha256.hexdigest(), git_blob.hexdigest()}
    known = next((k for k in KNOWN_FILES if {k.sha256, k.git_blob} & digests), None)
    return Identity(path, num_bytes, sha256.hexdigest(), known)
