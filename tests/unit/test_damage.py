"""Every task refuses a damaged file of an earlier task, by its real path, and writes nothing.

The tasks run as in the pipeline: each in a folder of its own, with links to its inputs.
"""

import random
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from embeddings_file import write_embeddings

from virnucpro.checksums import SUFFIX, read_checksums, write_checksums
from virnucpro.embeddings.store import Provenance, read_embeddings
from virnucpro.engine import embed_task
from virnucpro.errors import DamagedFileError
from virnucpro.files import file_sha256
from virnucpro.models import dnabert_s, esm2
from virnucpro.models.component import write_component
from virnucpro.scoring.classifier import save_classifier
from virnucpro.sequences.frames_file import read_frames
from virnucpro.training.chunk_table import ChunkRow, write_chunk_table
from virnucpro.training.examples import Vectors, read_examples

ROOT = Path(__file__).parents[2]
TOKENIZER = ROOT / "models/compact-500/tokenizer.json"
SEQUENCES = {f"r{n}": "".join(random.Random(n).choices("ACG", k=360)) for n in range(3)}
SHARDS = ("s.00001", "s.00002", "s.00003")
WIDTH = 3


def run(script: str, *argv: str) -> int:
    return int(runpy.run_path(str(ROOT / f"bin/vnp_{script}.py"))["main"](list(argv)))


class Work:
    """The work folder of a run of one sample in three shards."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.monkeypatch, self.count = root, monkeypatch, 0

    def task(self, *inputs: Path) -> Path:
        """Enter the folder of a new task that has links to its inputs."""
        self.count += 1
        folder = self.root / "work" / "ab" / f"{self.count:04d}"
        folder.mkdir(parents=True)
        (folder / ".command.run").touch()
        for path in inputs:
            (folder / path.name).symlink_to(path.resolve())
        self.monkeypatch.chdir(folder)
        return folder

    def split(self) -> Path:
        folder = self.task()
        (folder / "in.fa").write_text("".join(f">{n}\n{s}\n" for n, s in SEQUENCES.items()))
        argv = ["--sample", "s", "--inputs", "in.fa", "--ends", "0", "--chunk-length", "500"]
        assert run("split", *argv, "--shard-tokens", "100") == 0
        (folder / "in.fa").unlink()
        return folder

    def translate(self, split: Path, shard: str) -> tuple[int, Path]:
        folder = self.task(split / f"{shard}.chunks.fna", split / f"s.split{SUFFIX}")
        argv = ["--shard", shard, "--chunks", f"{shard}.chunks.fna", "--checksums", "."]
        return run("translate", *argv), folder

    def embed(self, translated: Path, shard: str) -> Path:
        """Make vectors up."""
        folder = self.task()
        for encoder, frames in (("dnabert_s", "fna"), ("esm2", "faa")):
            source = translated / f"{shard}.frames.{frames}"
            ids, _ = read_frames(source)
            vectors = np.random.default_rng(len(ids)).normal(size=(len(ids), WIDTH))
            origin = Provenance(encoder, "", "", "", {}, 1, 0, file_sha256(source))
            path = folder / f"{shard}.{encoder}.h5"
            write_embeddings(path, ids, vectors.astype(np.float32), origin)
        return folder

    def classify(self, translated: Path, embedded: Path, shard: str) -> tuple[int, Path]:
        folder = self.task(*translated.glob(f"{shard}.*"), *embedded.glob("*.h5"))
        argv = ["--shard", shard, "--frames", f"{shard}.frames.faa", f"{shard}.frames.fna"]
        argv += ["--dnabert-s", f"{shard}.dnabert_s.h5", "--esm2", f"{shard}.esm2.h5"]
        mlp = self.root / "mlp"
        return run("classify", *argv, "--classifier", str(mlp), "--checksums", "."), folder

    def summarise(self, *folders: Path) -> tuple[int, Path]:
        inputs = {path.name: path for folder in folders for path in folder.glob("s.*")}
        folder = self.task(*inputs.values())
        argv = ["--sample", "s", "--chunk-length", "500", "--records", "s.records.tsv"]
        argv += ["--shards", "s.shards.tsv", "--warnings", "s.warnings.txt", "--checksums", "."]
        for option, end in (
            ("--chunks", "chunks.fna"), ("--chunk-tables", "chunks.tsv"), ("--scores", "scores.tsv")
        ):  # fmt: skip
            argv += [option, *(f"{shard}.{end}" for shard in SHARDS)]
        return run("summarise", *argv), folder


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Work:
    hidden, rng = 4, np.random.default_rng(0)
    shapes = {
        "hidden_layer.weight": (hidden, 2 * WIDTH), "hidden_layer.bias": (hidden,),
        "output_layer.weight": (2, hidden), "output_layer.bias": (2,),
        **{f"bn1.{name}": (hidden,) for name in ("weight", "bias", "running_mean", "running_var")},
    }  # fmt: skip
    tensors = {name: rng.uniform(0.5, 1, shape) for name, shape in shapes.items()}
    save_classifier(tmp_path / "mlp", tensors)
    return Work(tmp_path, monkeypatch)


def cut(path: Path, _other: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def empty(path: Path, _other: Path) -> None:
    path.write_bytes(b"")


def flip(path: Path, _other: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def blank(path: Path, _other: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))


def swap_lines(path: Path, _other: Path) -> None:
    lines = path.read_text().splitlines(keepends=True)
    lines[-1], lines[-2] = lines[-2], lines[-1]
    path.write_text("".join(lines))


def replace(path: Path, other: Path) -> None:
    path.write_bytes(other.read_bytes())


DAMAGES = (cut, empty, flip, blank, swap_lines, replace)
damages = pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
Damage = Callable[[Path, Path], None]


def refuses(
    status: int, folder: Path, damaged: Path, capsys: pytest.CaptureFixture[str], writes: str
) -> None:
    """Check that a task refused a file, by name, and wrote nothing."""
    error = capsys.readouterr().err.splitlines()[-1]
    assert (status, f": error: {damaged}: " in error) == (65, True), error
    assert error.endswith(f"Remove the folder {damaged.parent} and run again with -resume.")
    assert not list(folder.rglob(writes))


def test_whole_files_pass(work: Work) -> None:
    split = work.split()
    assert [path.name for path in sorted(split.glob("*.fna"))] == [
        f"{s}.chunks.fna" for s in SHARDS
    ]
    folders = [split]
    for shard in SHARDS:
        status, translated = work.translate(split, shard)
        assert status == 0
        status, classified = work.classify(translated, work.embed(translated, shard), shard)
        assert status == 0
        folders += [translated, classified]
    status, folder = work.summarise(*folders)
    assert status == 0 and len((folder / "s/contigs.tsv").read_text().splitlines()) == 4


@damages
def test_translate_refuses_damaged_chunks(
    work: Work, damage: Damage, capsys: pytest.CaptureFixture[str]
) -> None:
    split = work.split()
    path = split / f"{SHARDS[0]}.chunks.fna"
    damage(path, split / f"{SHARDS[1]}.chunks.fna")
    status, folder = work.translate(split, SHARDS[0])
    refuses(status, folder, path, capsys, "*.frames.*")


@damages
@pytest.mark.parametrize("kind, ending", [("esm2", "faa"), ("dnabert_s", "fna")])
def test_the_encoders_refuse_damaged_frames(
    work: Work,
    damage: Damage,
    kind: str,
    ending: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    split = work.split()
    (_, first), (_, second) = (work.translate(split, shard) for shard in SHARDS[:2])
    path, other = (
        folder / f"{shard}.frames.{ending}"
        for folder, shard in zip((first, second), SHARDS[:2], strict=True)
    )
    encoders = {
        "esm2": lambda: esm2.ESM2(esm2.Config(1, 16, 2)),
        "dnabert_s": lambda: dnabert_s.DnabertS(dnabert_s.Config(1, 24, 3, 32, 4096)),
    }
    encoder = work.root / kind
    write_component(encoder, encoders[kind]())
    lists = [f / f"{s}.translate.sha256" for f, s in zip((first, second), SHARDS[:2], strict=True)]
    argv = ["--encoder", str(encoder), "--encoder-sha256", file_sha256(encoder), "--device", "cpu"]
    if kind == "dnabert_s":
        argv += ["--tokenizer", str(TOKENIZER), "--tokenizer-sha256", file_sha256(TOKENIZER)]
    argv += ["--checksums", ".", "--frames", path.name, other.name]
    monkeypatch.setattr(sys, "argv", ["vnp_embed"])
    task = embed_task.ESM2_TASK if kind == "esm2" else embed_task.DNABERT_S_TASK
    folder = work.task(path, other, *lists)
    assert embed_task.run_embed(task, None, argv) == 0
    assert read_embeddings(folder / f"{SHARDS[0]}.{kind}.h5")[2].frames_sha256 == file_sha256(path)

    damage(path, other)
    folder = work.task(path, other, *lists)
    refuses(embed_task.run_embed(task, None, argv), folder, path, capsys, "*.h5")


@pytest.fixture
def shard_files(work: Work) -> dict[str, tuple[Path, Path]]:
    """Shard -> folders of TRANSLATE and of the encoders."""
    split = work.split()
    folders = {shard: work.translate(split, shard)[1] for shard in SHARDS[:2]}
    return {shard: (folder, work.embed(folder, shard)) for shard, folder in folders.items()}


@damages
@pytest.mark.parametrize("ending", ["frames.faa", "dnabert_s.h5", "esm2.h5"])
def test_classify_refuses_damaged_frames_and_embeddings(
    work: Work,
    shard_files: dict[str, tuple[Path, Path]],
    damage: Damage,
    ending: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if damage is swap_lines and ending.endswith("h5"):
        pytest.skip("not a text")
    path, other = (
        folders[ending.endswith("h5")] / f"{shard}.{ending}"
        for shard, folders in shard_files.items()
    )
    damage(path, other)
    status, folder = work.classify(*shard_files[SHARDS[0]], SHARDS[0])
    refuses(status, folder, path, capsys, "*.scores.tsv")


def test_classify_refuses_vectors_of_other_sequences_under_the_same_ids(
    work: Work, shard_files: dict[str, tuple[Path, Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    translated, embedded = shard_files[SHARDS[0]]
    for encoder in ("dnabert_s", "esm2"):
        path = embedded / f"{SHARDS[0]}.{encoder}.h5"
        content = path.read_bytes()
        ids, vectors, _ = read_embeddings(path)
        write_embeddings(path, ids, -vectors, Provenance(encoder, "", "", "", {}, 1, 0, "0" * 64))
        status, folder = work.classify(translated, embedded, SHARDS[0])
        refuses(status, folder, path, capsys, "*.scores.tsv")
        path.write_bytes(content)


@damages
@pytest.mark.parametrize(
    "name", ["s.records.tsv", "s.shards.tsv", *(f"s.00002.{end}" for end in
             ("chunks.fna", "chunks.tsv", "scores.tsv"))]
)  # fmt: skip
def test_summarise_refuses_damaged_tables(
    work: Work, damage: Damage, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    split = work.split()
    folders = [split]
    for shard in SHARDS:
        _, translated = work.translate(split, shard)
        _, classified = work.classify(translated, work.embed(translated, shard), shard)
        folders += [translated, classified]
    paths = {p.name: p for folder in folders for p in folder.glob("s.*") if not p.is_symlink()}
    others = {"s.records.tsv": "s.shards.tsv", "s.shards.tsv": "s.records.tsv"}
    damage(paths[name], paths[others.get(name, name.replace("00002", "00001"))])
    status, folder = work.summarise(*folders)
    refuses(status, folder, paths[name], capsys, "contigs.tsv")


@damages
@pytest.mark.parametrize(
    "name", ["s.records.tsv", "s.shards.tsv", "s.00002.chunks.fna", "s.00002.chunks.tsv"]
)
def test_prepare_training_refuses_damaged_tables(
    work: Work, damage: Damage, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    split = work.split()
    folders = [split, *(work.translate(split, shard)[1] for shard in SHARDS)]
    paths = {p.name: p for f in folders for p in f.glob("s.*") if not p.is_symlink()}
    other = paths["s.shards.tsv" if name == "s.records.tsv" else "s.records.tsv"]
    damage(
        paths[name], paths.get(name.replace("00002", "00001"), other) if "0000" in name else other
    )
    folder = work.task()
    (folder / "chunks").mkdir()
    for path in paths.values():
        (folder / "chunks" / path.name).symlink_to(path)
    argv = ["--chunks", "chunks", "--annotations", ".", "--chunk-length", "500", "--seed", "1"]
    header = "id\tlabel\tkind\tgroup\tpart\tannotation\n"
    work.monkeypatch.setattr("sys.stdin", iter([header, "s\tviral\tk\tg\ttrain\t\n"]))
    status = run("prepare_training", *argv, "--checksums", "chunks")
    refuses(status, folder, paths[name], capsys, "split.tsv")


@damages
@pytest.mark.parametrize("name", ["table.tsv", "split.tsv", "mlp", "history.tsv", "training.json"])
def test_training_refuses_damaged_files_of_its_earlier_tasks(
    work: Work, damage: Damage, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("table.tsv", "split.tsv", "mlp", "history.tsv", "training.json")
    made = work.task()
    for file in names:
        (made / file).write_text(f"{file}\nfirst line\nsecond line\n")
    write_checksums(made / "made.sha256", [made / file for file in names])
    (made / "base.json").write_text("{}")
    damage(made / name, made / names[names.index(name) - 1])
    folder = work.task(*made.glob("[a-z]*"))
    argv = ["--table", "table.tsv", "--vectors", ".", "--checksums", "."]
    evaluating = [*argv, "--split", "split.tsv", "--classifier", "mlp", "--history", "history.tsv",
                  "--training", "training.json", "--base", "base.json", "--calibrate", "none"]  # fmt: skip
    refuses(run("evaluate_classifier", *evaluating), folder, made / name, capsys, "*.safetensors")
    if name == "table.tsv":
        training = [*argv, "--trainer", "adamw", "--class-balance", "label", "--seed", "1",
                    "--training-frames", "all", "--threads", "1"]  # fmt: skip
        refuses(run("train_classifier", *training), folder, made / name, capsys, "*.safetensors")


@damages
@pytest.mark.parametrize("ending", ["frames.faa", "dnabert_s.h5", "esm2.h5"])
def test_training_refuses_damaged_frames_and_embeddings(
    work: Work, shard_files: dict[str, tuple[Path, Path]], damage: Damage, ending: str
) -> None:
    if damage is swap_lines and ending.endswith("h5"):
        pytest.skip("not a text")
    rows = []
    folder = work.task()
    for shard, label in zip(SHARDS, ("viral", "nonviral"), strict=False):
        translated, embedded = shard_files[shard]
        _, *lines = (translated / f"{shard}.chunks.tsv").read_text().splitlines()
        for chunk, length_bp, states, *_ in (line.split("\t") for line in lines):
            rows.append(ChunkRow("s", chunk, chunk, shard, int(length_bp), states, "", label, "k",
                                 "g", "train"))  # fmt: skip
        for path in (*translated.glob(f"{shard}.frames.faa"), *translated.glob("*.translate.sha256"),
                     *embedded.glob("*.h5")):  # fmt: skip
            (folder / path.name).symlink_to(path)
    write_chunk_table(folder / "table.tsv", rows)

    def read() -> None:
        vectors = Vectors(folder, checksums=read_checksums([folder]))
        read_examples(folder / "table.tsv", vectors, "train")

    read()
    path, other = ((folder / f"{shard}.{ending}").resolve() for shard in SHARDS[:2])
    damage(path, other)
    with pytest.raises(DamagedFileError, match=f"^{path}: .* folder {path.parent} and run again"):
        read()
