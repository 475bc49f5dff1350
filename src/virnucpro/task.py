"""What every pipeline task does besides its work: check its library, report errors and versions."""

import argparse
import contextlib
import errno
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

from virnucpro.errors import DamagedFileError, InputError

# Exit statuses of a task, all of them in docs/reliability.md. 1 is a fault of ours, with a trace.
EXIT_INPUT = 2
EXIT_DAMAGE = 65  # EX_DATAERR: a file of an earlier task
EXIT_DISK = 74  # EX_IOERR of sysexits.h
EXIT_LIBRARY = 78  # EX_CONFIG: the set-up's fault, not the input's
EXIT_MEMORY = 137  # as when the kernel kills for memory: the pipeline tries again with more

NO_SPACE = os.strerror(errno.ENOSPC)  # in messages of libraries whose errors have no number
DISK_FULL = {errno.ENOSPC: "No space left", errno.EDQUOT: "No space left by the disk quota"}
# HDF5 objects of a file that did not fit on the disk crash when they are released (status 139). The
# frames of the error hold them, and so does this, until end_process.
UNRELEASED: list[BaseException] = []
SORT_KILLED = (-9, EXIT_MEMORY)  # itself, or within a pipe
# What torch says when the CPU's memory runs out, in a RuntimeError, and Python
NO_CPU_MEMORY = ("DefaultCPUAllocator", "can't allocate memory", "can't start new thread")


def library_digest(packages: Sequence[str]) -> str:
    """Return the sha256 (hex) of the library code that a task uses.

    It covers the modules at the top of the package, and modules and JSON schemas of the named
    sub-packages: for each file, in order of its path, `path NUL size NUL bytes`. library.nf
    computes the same.
    """
    root = Path(__file__).parent
    files = list(root.glob("*.py"))
    for package in packages:
        files += [*(root / package).glob("*.py"), *(root / package).glob("*.json")]
    digest = hashlib.sha256()
    for name, path in sorted((file.relative_to(root).as_posix(), file) for file in files):
        content = path.read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def check_library(library: str) -> None:
    """Refuse to run when the installed library is not the one the pipeline was started with.

    Args:
        library: "PACKAGE,PACKAGE:DIGEST", as library.nf writes it.
    Raises: InputError when the digests differ, so old code in an image never runs as new.
    """
    packages, _, expected = library.rpartition(":")
    actual = library_digest(packages.split(","))
    if actual != expected:
        raise InputError(
            f"the library at {Path(__file__).parent} has digest {actual[:12]}, but the pipeline "
            f"expects {expected[:12]}. The image or environment has another version of "
            "virnucpro: rebuild it from this checkout (make images, or make setup)."
        )


def write_versions(path: Path, process: str, packages: Sequence[str] = ()) -> None:
    """Write the nf-core style versions.yml of one task."""
    lines = [f'"{process}":', f"  python: {platform.python_version()}"]
    lines += [f"  {package}: {version(package)}" for package in ("virnucpro", *packages)]
    path.write_text("\n".join(lines) + "\n")


def task_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that all pipeline executables share."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--process", default="", help="process name for versions.yml")
    parser.add_argument(
        "--library", help="packages that the script uses, and digest they must have (default: any)"
    )
    parser.add_argument(
        "--checksums", nargs="+", type=Path, metavar="FOLDER",
        help="folders of *.sha256: what the files of earlier tasks must be (default: anything)",
    )  # fmt: skip
    return parser


def run_task(
    main: Callable[[argparse.Namespace], None],
    args: argparse.Namespace,
    versions: Sequence[str] = (),
) -> int:
    """Check the library, run the task, write versions.yml; return the exit status.

    Args:
        main: does the work. An InputError from it becomes one line on stderr and exit status 2, or
            65 where a file of an earlier task is damaged; so do a full disk (74) and a lack of
            memory (137).
        args: what task_parser parsed.
        versions: distributions to name in versions.yml.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    program = Path(sys.argv[0]).stem
    status = EXIT_LIBRARY
    try:
        if args.library:
            check_library(args.library)
        status = EXIT_INPUT
        main(args)
        if args.process:
            write_versions(Path("versions.yml"), args.process, versions)
    except InputError as error:
        print(f"{program}: error: {error}", file=sys.stderr)
        return EXIT_DAMAGE if isinstance(error, DamagedFileError) else status
    except Exception as error:
        resource = _missing_resource(error)
        if resource is None:
            raise
        UNRELEASED.append(error)
        status, message = resource
        print(f"{program}: error: {message}", file=sys.stderr)
        return status
    return 0


def end_process(status: int) -> NoReturn:
    """End with an exit status at once, without exit handlers, for tasks that write HDF5.

    HDF5 crashes over a file that did not fit on the disk, and 139 is tried again.
    """
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # nobody reads it, or its disk is full
            stream.flush()
    os._exit(status)


def _missing_resource(error: BaseException) -> tuple[int, str] | None:
    """Return the exit status and the message for a full disk or a lack of memory; else None."""
    number = getattr(error, "errno", None)
    sort_status = error.returncode if isinstance(error, subprocess.CalledProcessError) else 0
    if sort_status in SORT_KILLED:
        return EXIT_MEMORY, "not enough memory (sort was killed)."
    if number not in DISK_FULL and NO_SPACE in str(error):
        number = errno.ENOSPC
    if number in DISK_FULL or sort_status > 0:
        folder = Path(getattr(error, "filename", None) or Path.cwd() / "file").parent
        free_mb = shutil.disk_usage(folder).free // 10**6
        cause = DISK_FULL.get(number or 0, "sort failed, probably for lack of space (see above),")
        return EXIT_DISK, (
            f"{cause} in {folder} ({free_mb} MB free). Make room, or put the work folder on "
            "another disk (-work-dir), and run again with -resume."
        )
    reason = (str(error).splitlines() or ["MemoryError"])[0]
    if isinstance(error, MemoryError) or number == errno.ENOMEM:
        return EXIT_MEMORY, f"not enough memory ({reason})."
    if any(words in reason for words in NO_CPU_MEMORY):
        return EXIT_MEMORY, f"not enough memory ({reason})."
    return None
