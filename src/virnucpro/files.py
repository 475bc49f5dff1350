"""Atomic writes, digests of files, and safetensors metadata in a fixed order."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from virnucpro.errors import InputError

BLOCK_BYTES = 1 << 24


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside a path, which replaces it at the end.

    After an error the temporary file is removed, and an existing file stays as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a small file atomically."""
    with atomic_write(path) as temporary:
        temporary.write_text(text)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, complete or not at all."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def file_blocks(path: Path) -> Iterator[bytes]:
    """Yield the content of a file."""
    with path.open("rb") as stream:
        while block := stream.read(BLOCK_BYTES):
            yield block


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file as hexadecimal digits."""
    digest = hashlib.sha256()
    for block in file_blocks(path):
        digest.update(block)
    return digest.hexdigest()


def check_sha256(path: Path, expected: str) -> None:
    """Refuse a file with another content than expected.

    Raises: InputError naming both digests.
    """
    try:
        actual = file_sha256(path)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}). Copy the model set again; with "
            "--weights_dir, put the file where the tasks look for it."
        ) from error
    if actual != expected.lower():
        raise InputError(
            f"{path}: sha256 is {actual}, expected {expected}. The file is damaged or another "
            "version: copy or fetch the model set again."
        )


def sort_metadata(path: Path) -> None:
    """Sort the metadata of a safetensors file in place: the library writes it in random order.

    The file starts with the length of its JSON header, 8 bytes, then the header.
    """
    with path.open("r+b") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":")).encode()
        assert len(text) <= length, "the same header in another order has the same length"
        stream.seek(8)
        stream.write(text.ljust(length))
