"""The store: component files named after the sha256 of their content, each once."""

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from virnucpro.errors import InputError
from virnucpro.model_import.known_files import identify

log = logging.getLogger(__name__)


def put(store: Path, suffix: str, write: Callable[[Path], str]) -> Path:
    """Add a file to the store, unless it is there already; return its path.

    Args:
        store: folder, made if needed.
        suffix: of the file's name, ".safetensors" or ".json".
        write: writes the file to the path it gets, and returns its sha256.
    Raises: InputError when what was written does not read back as the same.
    """
    store.mkdir(parents=True, exist_ok=True)
    temporary = store / f".{os.getpid()}{suffix}.tmp"
    try:
        sha256 = write(temporary)
        path = store / f"{sha256}{suffix}"
        if path.exists():
            if identify(path).sha256 == sha256:
                log.info("%s is in the store already", path.name)
                return path
            log.warning("%s in the store was damaged: it is replaced", path.name)
        if (read_back := identify(temporary).sha256) != sha256:
            raise InputError(
                f"{temporary}: reads back as sha256 {read_back}, but {sha256} was written. The "
                "disk or memory is faulty: try another store (--store)."
            )
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def put_copy(store: Path, source: Path) -> Path:
    """Add a copy of a file to the store; return its path there."""

    def copy(path: Path) -> str:
        shutil.copyfile(source, path)
        return identify(source).sha256

    return put(store, source.suffix, copy)


def path_in_set(file: Path, folder: Path) -> str:
    """Return how a set refers to a file of the store: relative where they share a folder.

    A set and the store beside it can then be moved together. Symbolic links are resolved first,
    since ".." means the real parent.
    """
    file, folder = file.parent.resolve() / file.name, folder.resolve()
    shared = os.path.commonpath((file, folder))
    return os.path.relpath(file, folder) if shared != file.anchor else str(file)
