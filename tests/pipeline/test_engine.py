"""Parameters of the engine: each reaches the tasks, reruns what it changes, and is told."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import PROJECT, Pipeline, Run, write_model_set

from virnucpro.cli import main as cli
from virnucpro.embeddings.store import read_embeddings
from virnucpro.measuring import sweep
from virnucpro.model_sets.digest import set_digest

READS = str(PROJECT / "assets" / "demo" / "reads_1.fastq.gz")
OPTIONS = ["--input", READS, "--device", "cpu", "--save_embeddings", "-resume"]
EMBED = {"EMBED_ESM2", "EMBED_DNABERT_S"}


def numerics(run: Run) -> dict[str, dict[str, str | int]]:
    """Return encoder -> the numerics key of its HDF5 file."""
    assert run.status == 0, run.output
    folder = run.outdir / "reads_1" / "embeddings"
    return {
        name: read_embeddings(folder / f"reads_1.00001.{name}.h5")[2].numerics
        for name in ("dnabert_s", "esm2")
    }


def profile(model_set: Path, **changes: Any) -> dict[str, Any]:
    """Return what `virnucpro profile` might write for a set."""
    components = json.loads((model_set / "modelset.json").read_text())["components"]
    encoders = {
        name: {"attention": attention, "token_budget": budget, "component_sha256": components[name]["sha256"]}
        for name, attention, budget in [("dnabert_s", "sdpa", 4096), ("esm2", "reference", 8192)]
    }  # fmt: skip
    found = {"format": 1, "device_type": "cpu", "asked_precision": "auto", "precision": "fp32"}
    return {**found, "encoders": encoders, **changes}


def test_each_option_reaches_the_tasks_and_reruns_them(shared_pipeline: Pipeline) -> None:
    first = shared_pipeline.run(*OPTIONS)
    standard = numerics(first)
    for name in standard:
        expected = {
            "path": "in place",
            "attention": "sdpa",
            "precision": "fp32",
            "token_budget": 2048,
        }
        assert {k: standard[name][k] for k in expected} == expected
    (shared_pipeline.folder / "profile.json").write_text(
        json.dumps(profile(shared_pipeline.model_set))
    )
    for options, changed in [
        (["--attention", "reference"], {"attention": ("reference", "reference")}),
        (["--token_budget", "1024"], {"token_budget": (1024, 1024)}),
        (["--precision", "bf16"], {"precision": ("bf16", "bf16"), "path": ("plain", "plain")}),
        (["--engine_profile", "profile.json"], {"attention": ("sdpa", "reference"), "token_budget": (4096, 8192)}),
        (["--engine", "official"], {"path": ("official", "official esm"), "attention": ("reference", "official"), "token_budget": (1, 2048)}),
    ]:  # fmt: skip
        run = shared_pipeline.run(*OPTIONS, *options)
        found = numerics(run)
        for place, name in enumerate(("dnabert_s", "esm2")):
            own = {key: values[place] for key, values in changed.items()}
            assert found[name] == {**standard[name], **own}, options
        assert run.processes("COMPLETED") >= EMBED, options
        assert not run.processes("COMPLETED") & {"SPLIT", "TRANSLATE"}, options
        if options[0] in ("--token_budget", "--engine"):  # the same numbers but for the last bits
            assert run.table("reads_1").count(b"\n") == first.table("reads_1").count(b"\n")
    note = json.loads((run.outdir / "pipeline_info" / "model_set.json").read_text())
    assert note["encoders"]["esm2"] == {
        "device": "cpu", "precision": "auto", "engine": "official", "attention": "auto", "token_budget": "",
    }  # fmt: skip


def test_a_file_of_the_profile_command_is_taken(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "TIMED_S", 0.01)
    path = pipeline.folder / "profile.json"
    argv = ["profile", "--encoder-of", str(pipeline.model_set), "--device", "cpu", "-o", str(path)]
    assert cli.main(argv) == 0
    run = pipeline.run("--input", READS, "--engine_profile", str(path), "-stub-run")
    assert run.status == 0, run.output
    note = json.loads((run.outdir / "pipeline_info" / "model_set.json").read_text())
    for name, encoder in json.loads(path.read_text())["encoders"].items():
        assert note["encoders"][name]["token_budget"] == encoder["token_budget"]
        assert note["encoders"][name]["attention"] == "sdpa"


def test_what_only_esm2_can_do_is_not_asked_of_dnabert_s(pipeline: Pipeline) -> None:
    run = pipeline.run("--input", READS, "--attention", "varlen", "-stub-run")
    assert run.status == 0, run.output
    note = json.loads((run.outdir / "pipeline_info" / "model_set.json").read_text())
    assert [note["encoders"][n]["attention"] for n in ("dnabert_s", "esm2")] == ["auto", "varlen"]


@pytest.mark.parametrize(
    "options, words",
    [
        (["--device", "cpu", "--precision", "fp8"], ["--precision fp8 needs a GPU: with --device cpu use auto, fp32 or bf16"]),
        (["--device", "cpu", "--attention", "flash"], ["--attention flash needs a GPU: with --device cpu use auto, sdpa or reference"]),
        (["--engine", "official", "--precision", "bf16", "--attention", "sdpa", "--token_budget", "2048"],
         ["--engine official computes in fp32 with its own attention and batches: leave --precision away", "leave --attention away", "leave --token_budget away"]),
        (["--engine_profile", "x.json", "--token_budget", "2048"], ["--engine_profile holds attention and token_budget"]),
        (["--engine_profile", "x.json", "--engine", "official"], ["leave --engine_profile away"]),
        (["--engine_profile", "x.json"], ["--engine_profile x.json: there is no such file."]),
        (["--token_budget", "1000"], ["--token_budget 1000 must be at least 1024"]),
        (["--attention", "fast"], ["--attention fast must be one of auto, reference, sdpa, triton, varlen, flash"]),
    ],
)  # fmt: skip
def test_options_that_exclude_each_other_stop_the_run(
    pipeline: Pipeline, options: list[str], words: list[str]
) -> None:
    run = pipeline.run("--input", READS, *options)
    assert run.status == 1
    for text in words:
        assert text in run.output
    assert "Submitted process" not in run.output


@pytest.mark.parametrize(
    "content, options, words",
    [
        ('{"format": ', [], ["is no JSON ("]),
        ({"format": 2}, [], ["is no file of virnucpro profile. Make it again with virnucpro profile."]),
        ({"device_type": "cuda"}, ["--device", "cpu"], ["it was measured on a GPU"]),
        ({}, ["--precision", "bf16"], ["it was measured with --precision auto"]),
        ({"encoders": {"esm2": {"attention": "sdpa; touch here", "token_budget": "9", "component_sha256": ""}}}, [],
         ["encoders.esm2.attention is sdpa; touch here", "encoders.esm2.token_budget is 9",
          "encoders.esm2 is another than that of --model_set", "encoders.dnabert_s.attention is null"]),
    ],
)  # fmt: skip
def test_a_profile_that_does_not_fit_stops_the_run(
    pipeline: Pipeline, content: Any, options: list[str], words: list[str]
) -> None:
    text = content
    if not isinstance(content, str):
        text = json.dumps(profile(pipeline.model_set, **content))
    (pipeline.folder / "profile.json").write_text(text)
    run = pipeline.run("--input", READS, "--engine_profile", "profile.json", *options)
    assert run.status == 1
    assert "--engine_profile profile.json:" in run.output
    for line in words:
        assert line in run.output
    assert "Submitted process" not in run.output


def test_8_bits_are_refused_unless_they_were_measured_on_these_weights(tmp_path: Path) -> None:
    folder = write_model_set(tmp_path / "set")
    pipeline = Pipeline(tmp_path, folder)
    description = json.loads((folder / "modelset.json").read_text())
    digest = set_digest(description)
    for certified, words in [
        (None, "was never measured with it"),
        ({"fp16": {"esm2": {"passed": True, "model_set_digest": digest}}}, "was never measured with it"),
        ({"fp8": {"esm2": {"passed": True, "model_set_digest": "0"}}}, "was measured with other files than the set has now"),
        ({"fp8": {"esm2": {"passed": False, "model_set_digest": digest, "faults": ["a", "b"]}}}, "failed: a, b"),
        ({"fp8": {"esm2": {"passed": True, "model_set_digest": digest}}}, ""),
    ]:  # fmt: skip
        (folder / "modelset.json").write_text(json.dumps({**description, "certified": certified}))
        run = pipeline.run("--input", READS, "--precision", "fp8", "-stub-run")
        if words:
            assert run.status == 1
            assert f"--precision fp8: ESM-2 of the model set random {words}" in run.output
            assert f"virnucpro models check {folder} --certify --device cuda" in run.output
            assert "Submitted process" not in run.output
        else:
            assert run.status == 0, run.output
