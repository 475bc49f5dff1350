"""Official files, downloaded or copied here by hand, become a model set.

CACHE/500_model.pth, DNABERT-S/pytorch_model.bin ...   checked files, kept for the next set
CACHE/first_fetch.json                                 sha256 of files whose source states none
"""

import fcntl
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from urllib3 import Retry

from virnucpro.errors import InputError
from virnucpro.model_import.content_check import (
    CheckedFile,
    WrongContentError,
    check_content,
)
from virnucpro.model_import.disk_space import check_disk_space
from virnucpro.model_import.download import RETRY, Transfer, download
from virnucpro.model_import.sources_table import OfficialSet, SourceFile
from virnucpro.model_sets.description import write_description
from virnucpro.model_sets.json_file import read_json

log = logging.getLogger(__name__)


def fetch_set(
    official: OfficialSet,
    out: Path,
    *,
    dtype: str = "auto",
    store: Path | None = None,
    carried: Path | None = None,
    cache: Path | None = None,
    retry: Retry = RETRY,
) -> None:
    """Build the model set `out` from the official files.

    Args:
        official: its files.
        out: folder of the set.
        dtype, store: as for `models build`.
        carried: folder of files that were copied here by hand; nothing is downloaded then.
        cache: folder of downloads; by default `downloads` beside the set.
        retry: when to give up downloading.
    Raises: InputError when a file cannot be downloaded, or is another one than the official.
    """
    if (out / "modelset.json").exists():
        raise InputError(f"{out}: is a model set already. Delete it, or give another name.")
    cache = cache or out.absolute().parent / "downloads"
    with exclusive(cache):
        if carried is None:
            checked = download_all(official.files, cache, retry)
        else:
            checked = check_carried(official.files, carried, cache)
    for file in checked:
        log.info("%s: sha256 %s, %s", file.path, file.sha256, file.check)
    from virnucpro.model_import.build import BuildRequest, build  # loads torch

    paths = {file.source: file.path for file in checked}
    build(
        BuildRequest(
            folder=out,
            esm2=paths[official.esm2],
            dnabert_s=paths[official.dnabert_s[0]].parent,
            classifier=paths[official.classifier],
            store=store,
            chunk_bp=official.chunk_bp,
            dtype=dtype,
        )
    )
    note_sources(out, checked)


def download_all(files: Sequence[SourceFile], cache: Path, retry: Retry) -> list[CheckedFile]:
    """Return all files, each in the cache: those that are not there yet are downloaded."""
    stated = sum(f.size_bytes or 0 for f in files if not (cache / f.path).exists())
    parts = [part_file(cache / f.path) for f in files]
    received = sum(part.stat().st_size for part in parts if part.exists())
    check_disk_space(cache, stated - received, "the download", "name another disk with --cache")
    try:
        return [obtain(file, cache, retry) for file in files]
    except InputError as error:
        raise InputError(f"{error}\n{by_hand(files)}") from error


def obtain(file: SourceFile, cache: Path, retry: Retry) -> CheckedFile:
    """Return a file of the cache, downloaded if it is not there, its content checked."""
    target = cache / file.path
    if target.exists():
        return check_content(file, target, cache)
    target.parent.mkdir(parents=True, exist_ok=True)
    transfer = Transfer(file.url, part_file(target), file.size_bytes, file.is_pinned)
    is_resumed = transfer.part_bytes > 0
    while True:
        download(transfer, retry)
        try:
            checked = check_content(file, transfer.part, cache)
        except WrongContentError:
            transfer.discard()  # else the next command would resume a wrong part
            if not is_resumed:
                raise
            log.info("%s: the resumed part is wrong; downloading it from the start", file.name)
            is_resumed = False
            continue
        transfer.part.replace(target)
        transfer.discard()
        return replace(checked, path=target)


def part_file(target: Path) -> Path:
    """Return the file that a download is appended to until it is complete and checked."""
    return target.with_name(f".{target.name}.part")


def check_carried(files: Sequence[SourceFile], folder: Path, cache: Path) -> list[CheckedFile]:
    """Return the files that were copied into a folder by hand, under their published names.

    Files with a sub-folder in the table may be in it or beside the others.
    Raises: InputError naming every missing and every wrong file.
    """
    base = {
        sub: folder / sub if sub and (folder / sub).is_dir() else folder
        for sub in {file.folder for file in files}
    }
    paths = {file: base[file.folder] / file.name for file in files}
    missing = [file for file, path in paths.items() if not path.is_file()]
    if missing:
        names = ", ".join(str(paths[file]) for file in missing)
        raise InputError(f"--from {folder}: missing: {names}.\n{by_hand(missing)}")
    checked, faults = [], []
    for file, path in paths.items():
        try:
            checked.append(check_content(file, path, cache))
        except WrongContentError as error:
            faults.append(str(error))
    if faults:
        text = "\n  ".join(faults)
        raise InputError(f"--from {folder}: not the official files:\n  {text}\nCopy them again.")
    return checked


def by_hand(files: Sequence[SourceFile]) -> str:
    """Return the instructions for a machine without a network."""
    lines = [f"  {file.url}\n    as DIR/{file.path}" for file in files]
    return "By hand: download on any machine, then give --from DIR:\n" + "\n".join(lines)


def note_sources(folder: Path, checked: Sequence[CheckedFile]) -> None:
    """Add to modelset.json where each official file came from and how it was checked."""
    description = read_json(folder / "modelset.json")
    description["fetched"] = [
        {
            "file": file.source.name,
            "url": file.source.url,
            "published_by": file.source.source,
            "licence": file.source.licence,
            "sha256": file.sha256,
            "check": file.check,
        }
        for file in checked
    ]
    write_description(folder, description)


@contextmanager
def exclusive(cache: Path) -> Iterator[None]:
    """Lock the folder of downloads, made if need be; wait while another fetch has it.

    Raises: InputError when the folder cannot be written or locked.
    """
    try:
        cache.mkdir(parents=True, exist_ok=True)
        lock = (cache / ".lock").open("w")
    except OSError as error:
        raise InputError(
            f"{cache}: cannot be written ({error.strerror}). Name a folder with --cache."
        ) from error
    with lock:  # closing it, or dying, releases the lock
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("%s: another fetch is using this folder; waiting for it", cache)
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            raise InputError(
                f"{cache}: its file system has no locks ({error.strerror}). Name a folder on "
                "another one with --cache."
            ) from error
        yield
