"""Official files, from the network or carried over by hand, become a model set.

CACHE/500_model.pth, DNABERT-S/pytorch_model.bin ...   checked files, kept for the next set
CACHE/first_fetch.json                                 sums of what no source states a sum for
"""

import fcntl
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from virnucpro.errors import InputError
from virnucpro.files import write_text
from virnucpro.model_import.content_check import (
    CheckedFile,
    FirstFetches,
    WrongContentError,
    check_content,
)
from virnucpro.model_import.download import Retry, Transfer, check_space, download
from virnucpro.model_import.download_progress import shown
from virnucpro.model_import.sources_table import OfficialSet, SourceFile

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LocalFiles:
    """What the builder of a set needs.

    Attributes:
        dnabert_s: folder of the weights, configuration and tokenizer.
    """

    esm2: Path
    dnabert_s: Path
    classifier: Path
    chunk_bp: int


Build = Callable[[LocalFiles, Path], None]


def fetch_set(
    official: OfficialSet,
    out: Path,
    build: Build,
    *,
    carried: Path | None = None,
    cache: Path | None = None,
    retry: Retry | None = None,
) -> list[CheckedFile]:
    """Make the model set `out` of the official files; return these, checked.

    Args:
        carried: folder of files that were carried over by hand; the network is left alone then.
        cache: folder of downloads; by default `downloads` beside the set.
    Raises: InputError when a file cannot be had, or is another one than the official.
    """
    if (out / "modelset.json").exists():
        raise InputError(f"{out}: there is a model set already. Remove it, or give another name.")
    cache = cache or out.absolute().parent / "downloads"
    with exclusive(cache):
        if carried is None:
            checked = download_all(official.files, cache, retry or Retry())
        else:
            checked = check_carried(official.files, carried, FirstFetches(cache))
    for file in checked:
        log.info("%s: sha256 %s, %s", file.path, file.sha256, file.check)
    paths = {file.source: file.path for file in checked}
    build(
        LocalFiles(
            paths[official.esm2],
            paths[official.dnabert_s[0]].parent,
            paths[official.classifier],
            official.chunk_bp,
        ),
        out,
    )
    note_sources(out / "modelset.json", checked)
    return checked


def download_all(files: Sequence[SourceFile], cache: Path, retry: Retry) -> list[CheckedFile]:
    """Return all files, each in the cache: those that are not there yet are downloaded."""
    first_fetches = FirstFetches(cache)
    known = sum(f.size_bytes or 0 for f in files if not (cache / f.path).exists())
    here = sum(p.stat().st_size for f in files if (p := part_file(cache / f.path)).exists())
    check_space(cache, known - here, "the download")
    try:
        return [obtain(file, cache, first_fetches, retry) for file in files]
    except InputError as error:
        raise InputError(f"{error}\n{by_hand(files)}") from error


def obtain(file: SourceFile, cache: Path, first_fetches: FirstFetches, retry: Retry) -> CheckedFile:
    """Return a file of the cache, downloaded if it is not there, its content checked."""
    target = cache / file.path
    if target.exists():
        return check_content(file, target, first_fetches)
    target.parent.mkdir(parents=True, exist_ok=True)
    transfer = Transfer(file.url, part_file(target), file.size_bytes, file.is_pinned)
    is_continued = transfer.have > 0
    while True:
        with shown(file.name) as progress:
            download(transfer, progress, retry)
        try:
            found = check_content(file, transfer.part, first_fetches)
        except WrongContentError:
            transfer.discard()  # else the next command would continue a wrong part
            if not is_continued:
                raise
            log.info("%s: the continued part is wrong; once more from its beginning", file.name)
            is_continued = False
            continue
        transfer.part.replace(target)
        transfer.discard()
        return CheckedFile(file, target, found.sha256, found.check)


def part_file(target: Path) -> Path:
    """Return where a file grows until it is whole and checked."""
    return target.with_name(f".{target.name}.part")


def check_carried(
    files: Sequence[SourceFile], folder: Path, first_fetches: FirstFetches
) -> list[CheckedFile]:
    """Return the files of a folder that someone filled, under their published names.

    Files with a sub-folder in the table may lie in it or beside the others.
    Raises: InputError naming every missing and every wrong file.
    """
    base = {
        sub: folder / sub if sub and (folder / sub).is_dir() else folder
        for sub in {file.folder for file in files}
    }
    paths = {file: base[file.folder] / file.name for file in files}
    lost = [file for file, path in paths.items() if not path.is_file()]
    if lost:
        names = ", ".join(str(paths[file]) for file in lost)
        raise InputError(f"--from {folder}: not there: {names}.\n{by_hand(lost)}")
    checked, faults = [], []
    for file, path in paths.items():
        try:
            checked.append(check_content(file, path, first_fetches))
        except WrongContentError as error:
            faults.append(str(error))
    if faults:
        text = "\n  ".join(faults)
        raise InputError(f"--from {folder}: not the official files:\n  {text}\nCopy them again.")
    return checked


def by_hand(files: Sequence[SourceFile]) -> str:
    """Return how to do without a network here."""
    lines = [f"  {file.url}\n    as DIR/{file.path}" for file in files]
    return "By hand: download on any machine, then give --from DIR:\n" + "\n".join(lines)


def note_sources(description: Path, checked: Sequence[CheckedFile]) -> None:
    """Add to modelset.json where each official file came from and how it was checked."""
    content = json.loads(description.read_text())
    content["fetched"] = [
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
    write_text(description, json.dumps(content, indent=2, sort_keys=True) + "\n")


@contextmanager
def exclusive(cache: Path) -> Iterator[None]:
    """Hold the folder of downloads, made if need be; wait for another fetch that holds it.

    Raises: InputError when the folder cannot be written or locked.
    """
    try:
        cache.mkdir(parents=True, exist_ok=True)
        lock = (cache / ".lock").open("w")
    except OSError as error:
        raise InputError(
            f"{cache}: cannot be written ({error.strerror}). Name a folder with --cache."
        ) from error
    with lock:  # closing it, or dying, gives the lock back
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("%s: another fetch is at work here; waiting for it", cache)
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            raise InputError(
                f"{cache}: its file system has no locks ({error.strerror}). Name a folder on "
                "another with --cache."
            ) from error
        yield


def build_with(dtype: str, store: Path | None) -> Build:
    """Return the builder of model sets, with these options; it loads torch when it is called."""

    def build_set(files: LocalFiles, out: Path) -> None:
        from virnucpro.model_import.build import Request, build

        build(
            Request(
                folder=out,
                store=store or out.parent / "components",
                esm2=files.esm2,
                dnabert_s=files.dnabert_s,
                classifier=files.classifier,
                chunk_bp=files.chunk_bp,
                dtype=dtype,
                force=False,
            )
        )

    return build_set
