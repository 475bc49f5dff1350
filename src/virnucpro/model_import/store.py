"""The store: component files under the name of their content's sha256, each one once."""

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from virnucpro.errors import InputError
from virnucpro.model_import.known_files import identify

log = logging.getLogger(__name__)


def put(store: Path, suffix: str, write: Callable[[Path], str]) -> Path:
    """Add a file to the store, or find it there; return its path.

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
        if (found := identify(temporary).sha256) != sha256:
            raise InputError(
                f"{temporary}: reads back as sha256 {found}, but {sha256} was written. The disk "
                "or memory is faulty: try another store (--store)."
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


def check_space(store: Path, needed_bytes: int) -> None:
    """Refuse to start what will not fit.

    Raises: InputError with both sizes.
    """
    folder = next(parent for parent in (store, *store.absolute().parents) if parent.exists())
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise InputError(
            f"{store}: {free / 1e9:.1f} GB are free, the components need {needed_bytes / 1e9:.1f}. "
            "Free some, choose another --store, or build with --dtype float16."
        )


def reference(file: Path, folder: Path) -> str:
    """Return how a set refers to a file of the store: relative where they share a folder.

    A set and the store beside it can then be moved together. Symbolic links are resolved first,
    since ".." means the real parent.
    """
    file, folder = file.parent.resolve() / file.name, folder.resolve()
    shared = os.path.commonpath((file, folder))
    return os.path.relpath(file, folder) if shared != file.anchor else str(file)
