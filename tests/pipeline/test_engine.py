"""Parameters of the engine: each reaches the tasks, reruns what it changes, and is noted."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import PROJECT, Pipeline, Run

from virnucpro.cli import main as cli
from virnucpro.embeddings.store import read_embeddings
from virnucpro.model_diagnostics import sweep

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
            has_version = found[name].pop("fair-esm", None) is not None
            assert has_version == (own.get("path") == "official esm"), options
            assert found[name] == {**standard[name], **own}, options
        assert run.processes("COMPLETED") >= EMBED, options
        assert not run.processes("COMPLETED") & {"SPLIT", "TRANSLATE"}, options
        if options[0] in ("--token_budget", "--engine"):  # the same numbers but for the last bits
            assert run.table("reads_1").count(b"\n") == first.table("reads_1").count(b"\n")
    note = json.loads((run.outdir / "pipeline_info" / "model_set.json").read_text())
    assert note["encoders"]["esm2"] == {
        "device": "cpu", "precision": "auto", "engine": "official", "attention": "auto", "token_budget": None,
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


def test_options_that_do_not_fit_stop_the_run(pipeline: Pipeline) -> None:
    """tests/unit/test_check_model_set_task.py has all of them."""
    (pipeline.folder / "p.json").write_text(json.dumps(profile(pipeline.model_set, format=2)))
    options = ["--engine_profile", "p.json", "--precision", "fp8", "--chunk_length", "400"]
    run = pipeline.run("--input", READS, *options)
    assert run.status == 1
    for words in (
        f"ERROR ~ --model_set {pipeline.model_set}:\n  --chunk_length 400: ",
        "\n  --precision fp8: ESM-2 of the model set random was never measured with it.",
        "\n  --engine_profile p.json: is not a file of virnucpro profile.",
    ):
        assert words in run.output
    assert run.started() == {"CHECK_MODEL_SET", "CHECK_SAMPLESHEET"}
    assert "Exception" not in run.output and "Command executed" not in run.output
