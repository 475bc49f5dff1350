"""Any model set: in a store of components, with weights that are not staged; named in each output."""

import json
import os
import shutil
from pathlib import Path

import pytest
from conftest import PROJECT, Pipeline, Run, sha256, write_classifier
from probe import ask

from virnucpro.model_sets.digest import set_digest

READS = str(PROJECT / "assets" / "demo" / "reads_1.fastq.gz")


def write_store_set(folder: Path, model_set: Path, name: str = "it's a set") -> Path:
    """Write folder/set and folder/components, as `virnucpro models` lays them out."""
    description = json.loads((model_set / "modelset.json").read_text())
    (folder / "components").mkdir(parents=True)
    for part in description["components"].values():
        file = f"{part['sha256']}{Path(part['file']).suffix}"
        shutil.copy(model_set / part["file"], folder / "components" / file)
        part["file"] = f"../components/{file}"
    (folder / "set").mkdir()
    (folder / "set" / "modelset.json").write_text(json.dumps(description | {"name": name}))
    return folder / "set"


def description_of(model_set: Path) -> dict[str, dict[str, dict[str, str]]]:
    content: dict[str, dict[str, dict[str, str]]] = json.loads(
        (model_set / "modelset.json").read_text()
    )
    return content


@pytest.fixture(scope="module")
def plain(shared_pipeline: Pipeline) -> Run:
    run = shared_pipeline.run("--input", READS)
    assert run.status == 0, run.output
    return run


def test_the_launch_machine_finds_the_files_that_a_set_names(tmp_path: Path) -> None:
    (tmp_path / "a set").mkdir()
    names = ["x y.json", "\u00e4.safetensors", 'it\'s "q".json', "../store/z.safetensors"]
    (tmp_path / "store").mkdir()
    for name in names:
        (tmp_path / "a set" / name).write_text("{}")
    entries = [{"file": name} for name in [*names, "lost.json", "a\0b", ".", ""]]
    texts = [
        json.dumps({"components": entries[:3], "calibration": [{"deep": entries[3:]}], "file": 7}),
        json.dumps(entries, ensure_ascii=False),
        "[" * 100_000 + json.dumps(entries),  # what is wrong with it is not said here
        '{"file": "lost.json", "file" :\n"x y.json", "file": "',
    ]
    found = []
    for number, text in enumerate(texts):
        folder = tmp_path / f"set{number}"
        (tmp_path / "a set").rename(folder)
        (folder / "modelset.json").write_text(text)
        found += ask(tmp_path, [{"folder": str(folder)}])
        (folder).rename(tmp_path / "a set")
    for number, answer in enumerate(found):
        expected = names if number < 3 else ["x y.json"]
        files = set(answer["paths"]) - {"", "."}  # folders, which no component may be
        assert files == {"modelset.json", *expected}, number
        assert answer["paths"]["x y.json"] == str(tmp_path / f"set{number}" / "x y.json")
    store = str(tmp_path / "store" / "z.safetensors")
    assert found[0]["paths"]["../store/z.safetensors"] == store


def test_a_set_in_a_store_runs_and_every_output_names_it(
    tmp_path: Path, model_set: Path, plain: Run
) -> None:
    stored = write_store_set(tmp_path / "models", model_set)
    run = Pipeline(tmp_path, stored).run("--input", READS, outdir="stored")
    assert run.status == 0, run.output
    assert run.table("reads_1") == plain.table("reads_1")

    description = description_of(stored)
    digest = set_digest(description)
    assert digest == set_digest(description_of(model_set))  # wherever the same files lie
    sums = {name: part["sha256"] for name, part in description["components"].items()}
    (task,) = (t for t in run.tasks if t["process"].endswith("CLASSIFY"))
    command = (Path(task["workdir"]) / ".command.sh").read_text()
    for option, name in {"dnabert-s": "dnabert_s", "tokenizer": "tokenizer", "esm2": "esm2", "classifier": "classifier"}.items():  # fmt: skip
        assert f"--{option}-sha256 {sums[name]}" in command  # what the join is refused by
    note = json.loads((run.outdir / "reads_1" / "provenance.json").read_text())
    assert note == {
        "model_set": "it's a set", "model_set_digest": digest, "components": sums,
        "chunk_bp": 500, "rna": False, "frame_rule": "open", "sample": "reads_1",
        "pipeline_version": "0.1.0", "warnings": [],
    }  # fmt: skip
    of_run = json.loads((run.outdir / "pipeline_info" / "model_set.json").read_text())
    assert of_run["model_set_digest"] == digest
    assert of_run["description"] == description
    assert of_run["folder"].endswith("/models/set")
    header, row = (run.outdir / "summary.tsv").read_text().splitlines()
    columns = dict(zip(header.split("\t"), row.split("\t"), strict=True))
    assert columns["model_set"] == "it's a set"
    assert columns["model_set_digest"] == digest


@pytest.fixture(scope="module")
def unstaged(tmp_path_factory: pytest.TempPathFactory, model_set: Path) -> tuple[Pipeline, Path]:
    """A set of which the launch machine has modelset.json alone, and its weights elsewhere."""
    folder = tmp_path_factory.mktemp("unstaged")
    model = write_store_set(folder / "models", model_set)
    weights = folder / "node local" / "it~s (here)"
    weights.parent.mkdir()
    (model.parent / "components").rename(weights)
    return Pipeline(folder, model), weights


def test_weights_that_are_not_staged(unstaged: tuple[Pipeline, Path], plain: Run) -> None:
    pipeline, weights = unstaged
    lost = pipeline.run("--input", READS)
    assert lost.status == 1
    assert f"copy {weights.parents[1]}/models/components too, or give --weights_dir" in lost.output

    options = ["--input", READS, "--weights_dir", str(weights)]
    run = pipeline.run(*options)
    assert run.status == 0, run.output
    assert run.table("reads_1") == plain.table("reads_1")
    for task in run.tasks:
        folder = Path(task["workdir"])
        assert not list(folder.glob("*.safetensors")), task["process"]

    for file in weights.iterdir():  # another copy of the same content
        os.utime(file, (1, 1))
    again = pipeline.run(*options, "-resume")
    assert again.status == 0, again.output
    assert not again.names("COMPLETED")

    # another classifier in the set: its sum, and the name that follows from it
    description = description_of(pipeline.model_set)
    write_classifier(weights / "new.safetensors", seed=5)
    part = description["components"]["classifier"]
    part["sha256"] = sha256(weights / "new.safetensors")
    (weights / "new.safetensors").rename(weights / Path(part["file"]).name)  # the name is kept
    (pipeline.model_set / "modelset.json").write_text(json.dumps(description))
    other = pipeline.run(*options, "-resume")
    assert other.status == 0, other.output
    assert other.processes("COMPLETED") == {"CLASSIFY", "SUMMARISE"}


def test_unstaged_weights_that_are_wrong_or_not_there_end_the_task(
    unstaged: tuple[Pipeline, Path],
) -> None:
    pipeline, weights = unstaged
    options = ["--input", READS, "-resume"]
    run = pipeline.run(*options, "--weights_dir", f"{weights}/none")
    assert run.status == 1
    assert "cannot be read (No such file or directory)" in run.output
    assert "put the file where the tasks look for it" in run.output
    copy = weights.with_name("copy")
    shutil.copytree(weights, copy)
    esm2 = Path(description_of(pipeline.model_set)["components"]["esm2"]["file"]).name
    (copy / esm2).write_bytes(b"damaged")
    run = pipeline.run(*options, "--weights_dir", str(copy))
    assert run.status == 1
    assert f"{copy}/{esm2}: sha256 is " in run.output
