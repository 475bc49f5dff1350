"""Checksums of the files that a task writes, which every task that reads one of them checks.

A task lists its files in NAME.sha256, in the format of `sha256sum`, which travels with them. Since
the list has names too, the file of another shard does not pass for one's own.

Nextflow takes a file for unchanged when path, size and time are, which a flipped bit leaves alone.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from virnucpro.errors import DamagedFileError
from virnucpro.files import file_sha256, write_text

SUFFIX = ".sha256"
LINE = re.compile(r"([0-9a-f]{64})  ([^/\n]+)\n")


def damaged(path: Path, cause: str) -> DamagedFileError:
    """Return the error about a file: where it really is, and the task folder to remove.

    Args:
        path: as the task got it: a link into the folder of the task that wrote it.
        cause: such as "is cut short".
    """
    real_path = path.resolve()
    folder = real_path.parent
    is_task_folder = (folder / ".command.run").exists() and folder != Path.cwd()
    where = f"folder {folder}" if is_task_folder else "folder of the task that wrote it"
    return DamagedFileError(f"{real_path}: {cause}. Remove the {where} and run again with -resume.")


def write_checksums(path: Path, files: Iterable[Path]) -> None:
    """Write the checksums of files, in the order of their names."""
    by_name = sorted(files, key=lambda file: file.name)
    write_text(path, "".join(f"{file_sha256(file)}  {file.name}\n" for file in by_name))


@dataclass(frozen=True)
class Checksums:
    """What the files of earlier tasks must contain.

    Attributes:
        sha256: by file name; None: unknown, as where somebody runs a task's script by hand. Then
            nothing is checked.
    """

    sha256: Mapping[str, str] | None = None

    def expected(self, name: str) -> str | None:
        """Return the sha256 that a file of this name must have, or None where it is unknown."""
        return None if self.sha256 is None else self.sha256.get(name)

    def checked(self, path: Path) -> Path:
        """Return the path of a file, which has been read and compared.

        Raises: DamagedFileError for another content, and for a file that is in no list.
        """
        if self.sha256 is None:
            return path
        expected = self.expected(path.name)
        if expected is None:
            raise damaged(path, "is not among the checksums that came with it")
        try:
            actual = file_sha256(path)
        except OSError as error:
            raise damaged(path, f"cannot be read ({error.strerror})") from error
        if actual != expected:
            raise damaged(path, "is not what its task wrote, by its sha256: cut, changed or "
                                "replaced since")  # fmt: skip
        return path


UNCHECKED = Checksums()


def read_checksums(folders: Iterable[Path] | None) -> Checksums:
    """Return the checksums of all lists in some folders.

    Args:
        folders: None: there are no lists.
    Raises: DamagedFileError for a list that is damaged itself.
    """
    if folders is None:
        return UNCHECKED
    sha256: dict[str, str] = {}
    for folder in folders:
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            for line in path.read_bytes().decode(errors="replace").splitlines(keepends=True):
                if not (match := LINE.fullmatch(line)):
                    raise damaged(path, "is not a list of checksums")
                sha256[match[2]] = match[1]
    return Checksums(sha256)
