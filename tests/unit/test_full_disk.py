"""Every task on a disk that has no room for its output: one line with the folder, status 74, no crash."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from random_set import sha256, write_model_set

BIN = Path(__file__).parents[2] / "bin"
NUM_FRAMES = 200
Mount = Callable[[str], Path]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Return what mounts a small file system; HDF5 does other things at other sizes."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def mount_size(size: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
        if os.geteuid() or subprocess.run(command, stderr=subprocess.DEVNULL).returncode:
            pytest.skip("no file system can be mounted here")
        return disk

    yield mount_size
    subprocess.run(["umount", str(disk)], stderr=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_model_set(tmp_path_factory.mktemp("inputs"))
    for end, letters in (("faa", "ACDEFGHIKL"), ("fna", "ACGT")):
        text = "".join(f">{n}\n{(letters * 9)[n % 7 : 80 + n % 10]}\n" for n in range(NUM_FRAMES))
        (folder / f"x.frames.{end}").write_text(text)
    (folder / "x.fa").write_text("".join(f">{n}\n{'ACG' * 200}\n" for n in range(100)))
    (folder / "x.chunks.fna").write_text(
        "".join(f">{n}_chunk_1\n{'ACG' * 99}\n" for n in range(100))
    )
    return folder


def encoder(inputs: Path, name: str, frames: str) -> list[str]:
    file = inputs / f"{name}.safetensors"
    return ["--frames", str(inputs / f"x.frames.{frames}"), "--encoder", str(file),
            "--encoder-sha256", sha256(file), "--device", "cpu"]  # fmt: skip


def arguments(process: str, inputs: Path) -> list[str]:
    if process == "embed_esm2":
        return encoder(inputs, "esm2", "faa")
    if process == "embed_dnabert_s":
        tokenizer = inputs / "tokenizer.json"
        return [*encoder(inputs, "dnabert_s", "fna"),
                "--tokenizer", str(tokenizer), "--tokenizer-sha256", sha256(tokenizer)]  # fmt: skip
    if process == "split":
        return [
            "--sample",
            "x",
            "--inputs",
            str(inputs / "x.fa"),
            "--ends",
            "0",
            "--chunk-length",
            "500",
        ]
    return ["--shard", "x", "--chunks", str(inputs / "x.chunks.fna")]


@pytest.mark.parametrize(
    "process, size",
    [("split", "8k"), ("translate", "8k"), ("embed_dnabert_s", "16k"), ("embed_dnabert_s", "40k"),
     ("embed_esm2", "4k"), ("embed_esm2", "16k"), ("embed_esm2", "24k"), ("embed_esm2", "40k")],
)  # fmt: skip
def test_a_full_disk_is_one_line(process: str, size: str, mount: Mount, inputs: Path) -> None:
    disk = mount(size)
    done = subprocess.run(
        [sys.executable, BIN / f"vnp_{process}.py", *arguments(process, inputs)],
        cwd=disk, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert done.returncode == 74, done.stderr
    *_, last = done.stderr.splitlines()
    assert last.startswith(f"vnp_{process}: error: No space left in {disk} (0 MB free). Make room")
    assert "Traceback" not in done.stderr
