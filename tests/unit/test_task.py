import argparse
import hashlib
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from virnucpro import task
from virnucpro.errors import InputError
from virnucpro.task import check_library, library_digest, run_task, task_parser, write_versions

ROOT = Path(__file__).parents[2]


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A library of two sub-packages; return its folder."""
    root = tmp_path / "virnucpro"
    files = {
        "task.py": b"1",
        "errors.py": b"2",
        "a/__init__.py": b"",
        "a/x.py": b"3",
        "b/y.py": b"4",
    }
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    monkeypatch.setattr(task, "__file__", str(root / "task.py"))
    return root


def test_the_digest_is_that_of_paths_sizes_and_bytes(library):
    expected = hashlib.sha256(b"a/__init__.py\x000\0" b"a/x.py\x001\x003" b"errors.py\x001\x002"
                              b"task.py\x001\x001")  # fmt: skip
    assert library_digest(["a"]) == expected.hexdigest()


@pytest.mark.parametrize("name", ["a/x.py", "a/__init__.py", "task.py", "errors.py"])
def test_a_changed_module_changes_the_digest(library, name):
    before = library_digest(["a"])
    (library / name).write_bytes(b"changed")
    assert library_digest(["a"]) != before


def test_a_new_or_renamed_module_changes_the_digest(library):
    digests = {library_digest(["a"])}
    (library / "a/new.py").write_bytes(b"")
    digests.add(library_digest(["a"]))
    (library / "a/new.py").rename(library / "a/newer.py")
    digests.add(library_digest(["a"]))
    assert len(digests) == 3


def test_other_files_do_not_change_the_digest(library):
    before = library_digest(["a"])
    (library / "b/y.py").write_bytes(b"changed")  # a package that the task does not use
    (library / "a/notes.txt").write_bytes(b"")
    (library / "a/__pycache__").mkdir()
    (library / "a/__pycache__/x.pyc").write_bytes(b"")
    assert library_digest(["a"]) == before
    assert library_digest(["a", "b"]) == library_digest(["b", "a"]) != before


def test_another_library_is_refused_with_a_remedy(library):
    expected = library_digest(["a"])
    check_library(f"a:{expected}")
    (library / "a/x.py").write_bytes(b"old code")
    with pytest.raises(InputError) as error:
        check_library(f"a:{expected}")
    text = str(error.value)
    assert str(library) in text and library_digest(["a"])[:12] in text and expected[:12] in text
    assert "rebuild it from this checkout (make images, or make setup)" in text


def test_versions_are_yaml_of_the_process(tmp_path):
    write_versions(tmp_path / "versions.yml", "PREDICT:SPLIT", ["numpy", "dnaio"])
    assert (tmp_path / "versions.yml").read_text() == (
        f'"PREDICT:SPLIT":\n  python: {platform.python_version()}\n'
        f"  virnucpro: {version('virnucpro')}\n  numpy: {version('numpy')}\n"
        f"  dnaio: {version('dnaio')}\n"
    )


def run(main, *argv, versions=()):
    return run_task(main, task_parser("text").parse_args(argv), versions)


def test_the_task_gets_its_arguments(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seen = []
    assert run(seen.append, "--process", "P", versions=["numpy"]) == 0
    assert isinstance(seen[0], argparse.Namespace) and seen[0].process == "P"
    assert (tmp_path / "versions.yml").read_text().startswith('"P":\n  python: ')


def test_without_a_process_no_versions_are_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(lambda args: None) == 0
    assert list(tmp_path.iterdir()) == []


def test_an_input_error_is_one_line_and_status_2(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["/x/bin/vnp_split.py"])

    def fail(args):
        raise InputError("a.fa, record 3: is odd. Fix it.")

    assert run(fail, "--process", "P") == 2
    captured = capsys.readouterr()
    assert captured.err == "vnp_split: error: a.fa, record 3: is odd. Fix it.\n"
    assert captured.out == "" and list(tmp_path.iterdir()) == []


def test_other_errors_keep_their_traceback():
    def fail(args):
        raise KeyError("our own fault")

    with pytest.raises(KeyError, match="our own fault"):
        run(fail)


def test_the_library_is_checked_before_the_task_runs(capsys):
    seen = []
    assert run(seen.append, "--library", "sequences:" + "0" * 64) == 78
    assert seen == [] and "expects 000000000000" in capsys.readouterr().err
    digest = library_digest(["calls", "sequences"])
    assert run(seen.append, "--library", f"calls,sequences:{digest}") == 0
    assert len(seen) == 1
    for others in ("calls", "sequences", "calls,scoring", ""):  # than those of the digest
        assert run(seen.append, "--library", f"{others}:{digest}") == 78
    assert run(seen.append, "--library", digest) == 78
    assert len(seen) == 1


@pytest.mark.parametrize("name", ["split", "translate", "classify", "summarise"])
def test_the_docstring_of_an_executable_is_its_help(executables, capsys, name):
    script = ROOT / f"bin/vnp_{name}.py"
    assert script.stat().st_mode & 0o777 == 0o755
    assert script.read_text().startswith("#!/usr/bin/env python3\n")
    with pytest.raises(SystemExit, match="0"):
        executables[name](["--help"])
    help_text = capsys.readouterr().out
    assert script.read_text().split('"""')[1].strip() in help_text
    assert "--library" in help_text
    with pytest.raises(SystemExit, match="2"):
        executables[name]([])
    assert "required" in capsys.readouterr().err


def test_an_executable_runs_by_its_name(tmp_path):
    (tmp_path / "a.fa").write_text(">a\nAC\n")
    argv = ["--sample", "s", "--inputs", "a.fa", "--ends", "0", "--chunk-length", "500"]
    library = f"sequences:{library_digest(['sequences'])}"
    argv += ["--process", "SPLIT", "--library"]
    command = [sys.executable, ROOT / "bin/vnp_split.py", *argv]
    done = subprocess.run([*command, library], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == ""
    assert "s: 1 sequences, 1 chunks" in done.stderr
    assert (tmp_path / "versions.yml").read_text().startswith('"SPLIT":\n  python: ')
    done = subprocess.run(
        [*command, "sequences:" + "0" * 64], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 78 and done.stderr.startswith("vnp_split: error: the library at ")
    (tmp_path / "a.fa").write_text("ssc")
    done = subprocess.run([*command, library], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("vnp_split: error: a.fa: is neither")


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (OSError(28, "No space left on device", "/tmp/x"), 74, "No space left in /tmp ("),
        (OSError(28, "Can't write data (file write failed)"), 74, "No space left in "),
        (OSError(122, "Disk quota exceeded"), 74, "No space left by the disk quota in "),
        (RuntimeError("Can't close (errno = 28, error message = 'No space left on device')"), 74,
         "No space left in "),
        (subprocess.CalledProcessError(2, ["sort"]), 74,
         "sort failed, probably for lack of space (see above), in "),
        (subprocess.CalledProcessError(-9, ["sort"]), 137, "not enough memory (sort was killed)."),
        (subprocess.CalledProcessError(137, ["bash"]), 137, "not enough memory (sort was killed)."),
        (RuntimeError("can't start new thread"), 137, "not enough memory ("),
        (MemoryError(), 137, "not enough memory (MemoryError)."),
        (OSError(12, "Cannot allocate memory"), 137, "not enough memory ("),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 8\nC++"), 137,
         "not enough memory ("),
    ],
)  # fmt: skip
def test_a_full_disk_or_memory_is_one_line_with_its_own_exit_status(error, status, words, capsys):
    def work(_args):
        raise error

    assert run_task(work, task_parser(None).parse_args([])) == status
    message = capsys.readouterr().err
    assert words in message
    assert message.count("\n") == 1


@pytest.mark.parametrize("error", [RuntimeError("a bug"), FileNotFoundError(2, "no"), KeyError(1)])
def test_a_fault_of_ours_keeps_its_trace(error):
    def work(_args):
        raise error

    with pytest.raises(type(error)):
        run_task(work, task_parser(None).parse_args([]))


def test_end_process_runs_no_exit_handler_and_says_all():
    code = (
        "import atexit, os; from virnucpro.task import end_process\n"
        "atexit.register(os.abort); print('said'); end_process(74)"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert (done.returncode, done.stdout) == (74, "said\n")
