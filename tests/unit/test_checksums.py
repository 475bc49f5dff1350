"""Lists of checksums: what is written, what is refused, and which folder the message names."""

import shutil
import subprocess
from pathlib import Path

import pytest

from virnucpro.checksums import UNCHECKED, damaged, read_checksums, write_checksums
from virnucpro.errors import DamagedFileError, InputError
from virnucpro.task import run_task, task_parser


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """The folder of a task that wrote two files."""
    folder = tmp_path / "work" / "ab" / "cdef"
    folder.mkdir(parents=True)
    (folder / ".command.run").touch()
    (folder / "a.txt").write_text("one\ntwo\n")
    (folder / "b.txt").write_text("three\n")
    write_checksums(folder / "x.sha256", [folder / "b.txt", folder / "a.txt"])
    return folder


@pytest.fixture
def staged(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a task that got links to them."""
    folder = tmp_path / "work" / "12" / "3456"
    folder.mkdir(parents=True)
    (folder / ".command.run").touch()
    for path in written.glob("[a-z]*"):
        (folder / path.name).symlink_to(path)
    monkeypatch.chdir(folder)
    return Path()


def test_the_list_is_what_sha256sum_checks(written: Path) -> None:
    names = [line.split("  ")[1] for line in (written / "x.sha256").read_text().splitlines()]
    assert names == ["a.txt", "b.txt"]
    assert subprocess.run(["sha256sum", "--check", "x.sha256"], cwd=written).returncode == 0


def test_what_was_written_passes(staged: Path) -> None:
    checksums = read_checksums([staged])
    assert checksums.checked(staged / "a.txt") == staged / "a.txt"
    assert checksums.expected("a.txt") and checksums.expected("c.txt") is None


def test_the_message_names_the_real_file_and_the_folder_to_remove(
    staged: Path, written: Path
) -> None:
    (written / "a.txt").write_text("two\none\n")
    with pytest.raises(DamagedFileError) as error:
        read_checksums([staged]).checked(staged / "a.txt")
    assert str(error.value).startswith(f"{written}/a.txt: ")
    assert str(error.value).endswith(f"Remove the folder {written} and run again with -resume.")


@pytest.mark.parametrize("text", ["", "one\n", "one\ntwp\n", "one\ntwo\n\n", "three\n"])
def test_another_content_is_refused(staged: Path, written: Path, text: str) -> None:
    (written / "a.txt").write_text(text)
    with pytest.raises(DamagedFileError, match=r"a\.txt: is not what its task wrote"):
        read_checksums([staged]).checked(staged / "a.txt")


def test_a_file_that_is_gone_or_in_no_list_is_refused(staged: Path, written: Path) -> None:
    (staged / "c.txt").symlink_to(written / "a.txt")
    checksums = read_checksums([staged])
    with pytest.raises(DamagedFileError, match="is not among the checksums"):
        checksums.checked(staged / "c.txt")
    (written / "b.txt").unlink()
    with pytest.raises(DamagedFileError, match=r"cdef/b\.txt: cannot be read"):
        checksums.checked(staged / "b.txt")


def test_every_changed_byte_of_a_list_is_refused(staged: Path, written: Path) -> None:
    content = (written / "x.sha256").read_bytes()
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1
        (written / "x.sha256").write_bytes(changed)
        with pytest.raises(DamagedFileError, match=f"folder {written} "):
            for name in ("a.txt", "b.txt"):
                read_checksums([staged]).checked(staged / name)


@pytest.mark.parametrize("length", range(0, 140, 9))
def test_a_list_that_is_cut_short_is_refused(staged: Path, written: Path, length: int) -> None:
    (written / "x.sha256").write_bytes((written / "x.sha256").read_bytes()[:length])
    with pytest.raises(DamagedFileError, match=f"folder {written} "):
        for name in ("a.txt", "b.txt"):
            read_checksums([staged]).checked(staged / name)


def test_the_list_of_another_task_does_not_pass(staged: Path, written: Path) -> None:
    other = written.parent / "other"
    shutil.copytree(written, other)
    (other / "a.txt").rename(other / "c.txt")
    write_checksums(written / "x.sha256", [other / "b.txt", other / "c.txt"])
    with pytest.raises(DamagedFileError, match="is not among the checksums"):
        read_checksums([staged]).checked(staged / "a.txt")


def test_a_script_run_by_hand_checks_nothing(staged: Path, written: Path) -> None:
    (written / "a.txt").write_text("mine")
    assert read_checksums(None) is UNCHECKED
    assert UNCHECKED.checked(staged / "a.txt") and UNCHECKED.expected("a.txt") is None


def test_no_folder_is_named_that_may_be_the_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    expected = f"{tmp_path}/a: is odd. Remove the folder of the task that wrote it and"
    assert str(damaged(Path("a"), "is odd")).startswith(expected)
    (tmp_path / ".command.run").touch()  # copied into the folder of the task that reads it
    assert str(damaged(Path("a"), "is odd")).startswith(expected)


def test_damage_is_exit_status_65(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(_args: object) -> None:
        raise DamagedFileError("/w/a.fna: is odd. Fix it.")

    assert run_task(fail, task_parser("text").parse_args([])) == 65
    assert capsys.readouterr().err.endswith(": error: /w/a.fna: is odd. Fix it.\n")
    assert issubclass(DamagedFileError, InputError)
