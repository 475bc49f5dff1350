"""Parameters of the engine: each reaches the tasks, reruns what it changes, and is told."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import PROJECT, Pipeline, Run
from probe import ask

from virnucpro.cli import main as cli
from virnucpro.embeddings.store import read_embeddings
from virnucpro.model_diagnostics import sweep
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
            has_version = found[name].pop("fair-esm", None) is not None
            assert has_version == (own.get("path") == "official esm"), options
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


def defaults(**changes: Any) -> dict[str, Any]:
    """Return parameters as the pipeline has them."""
    schema = json.loads((PROJECT / "nextflow_schema.json").read_text())
    groups = [group["properties"] for group in schema["$defs"].values()]
    return {name: rule.get("default") for group in groups for name, rule in group.items()} | changes


def test_what_only_esm2_can_do_is_not_asked_of_dnabert_s(tmp_path: Path, model_set: Path) -> None:
    question = {"folder": str(model_set), "engine": defaults(attention="varlen")}
    (answer,) = ask(tmp_path, [question])
    encoders = answer["encoders"]
    assert [encoders[name]["attention"] for name in ("dnabert_s", "esm2")] == ["auto", "varlen"]


OFFICIAL = "--engine official computes in fp32 with its own attention and batches: leave --{} away"
HOLDS = (
    "--engine_profile holds attention and token_budget: leave --attention and --token_budget away"
)
EXCLUDED: list[tuple[dict[str, Any], list[str]]] = [
    *(({"device": "cpu", "precision": p}, [f"--precision {p} needs a GPU: with --device cpu use auto, fp32 or bf16"])
      for p in ("tf32", "fp16", "fp8")),
    *(({"device": "cpu", "attention": a}, [f"--attention {a} needs a GPU: with --device cpu use auto, sdpa or reference"])
      for a in ("triton", "varlen", "flash")),
    ({"device": "cpu", "precision": "bf16", "attention": "sdpa"}, []),
    ({"precision": "fp16", "attention": "flash"}, []),
    ({"engine": "official", "precision": "bf16", "attention": "sdpa", "token_budget": 2048},
     [OFFICIAL.format(name) for name in ("precision", "attention", "token_budget")]),
    ({"engine": "official", "precision": "fp32"}, []),
    ({"engine": "official", "engine_profile": "x.json"}, [OFFICIAL.format("engine_profile")]),
    ({"engine_profile": "x.json", "token_budget": 2048}, [HOLDS]),
    ({"engine_profile": "x.json", "attention": "sdpa"}, [HOLDS]),
]  # fmt: skip
MISFITS: list[tuple[Any, dict[str, Any], list[str]]] = [
    (None, {}, ["there is no such file."]),
    ('{"format": ', {}, ["is no JSON ("]),
    ({"format": 2}, {}, ["is no file of virnucpro profile. Make it again with virnucpro profile."]),
    ({"device_type": "cuda"}, {"device": "cpu"}, ["it was measured on a GPU"]),
    ({}, {"precision": "bf16"}, ["it was measured with --precision auto"]),
    ({}, {"precision": "fp32"}, []),  # what auto chose
    ({"encoders": {"esm2": {"attention": "sdpa; touch here", "token_budget": "9", "component_sha256": ""}}}, {},
     ["encoders.esm2.attention is sdpa; touch here", "encoders.esm2.token_budget is 9",
      "encoders.esm2 is another than that of --model_set", "encoders.dnabert_s.attention is null"]),
]  # fmt: skip


def test_options_that_exclude_each_other_are_all_told(tmp_path: Path, model_set: Path) -> None:
    """test_parameters.py gives some of them to a run."""
    (tmp_path / "x.json").write_text(json.dumps(profile(model_set)))
    folder = {"folder": str(model_set)}
    answers = ask(tmp_path, [{**folder, "engine": defaults(**o)} for o, _ in EXCLUDED])
    for answer, (options, faults) in zip(answers, EXCLUDED, strict=True):
        assert answer.get("faults", []) == faults, (options, answer)
        assert ("encoders" in answer) is (not faults), (options, answer)


def test_a_profile_that_does_not_fit_stops_the_run(tmp_path: Path, model_set: Path) -> None:
    questions = []
    for number, (content, options, _) in enumerate(MISFITS):
        path = tmp_path / f"profile{number}.json"
        if content is not None:
            text = (
                content if isinstance(content, str) else json.dumps(profile(model_set, **content))
            )
            path.write_text(text)
        values = defaults(engine_profile=str(path), **options)
        questions.append({"folder": str(model_set), "engine": values})
    for question, answer, (*_, words) in zip(questions, ask(tmp_path, questions), MISFITS, strict=True):  # fmt: skip
        if not words:
            assert answer["encoders"]["esm2"]["token_budget"] == 8192, answer
            continue
        assert answer["error"].startswith(
            f"--engine_profile {question['engine']['engine_profile']}:"
        )
        assert [word for word in words if word not in answer["error"]] == [], answer
    number = len(MISFITS) - 1  # in a run too, before any task
    run = Pipeline(tmp_path, model_set).run(
        "--input", READS, "--engine_profile", f"profile{number}.json"
    )
    assert run.status == 1
    assert f"--engine_profile profile{number}.json:" in run.output
    assert [word for word in MISFITS[-1][-1] if word not in run.output] == []
    assert "Submitted process" not in run.output


def test_8_bits_are_refused_unless_they_were_measured_on_these_weights(
    tmp_path: Path, model_set: Path
) -> None:
    description = json.loads((model_set / "modelset.json").read_text())
    digest = set_digest(description)
    cases: list[tuple[Any, str]] = [
        (None, "was never measured with it"),
        ({"fp16": {"esm2": {"passed": True, "model_set_digest": digest}}}, "was never measured with it"),
        ({"fp8": {"esm2": {"passed": True, "model_set_digest": "0"}}}, "was measured with other files than the set has now"),
        ({"fp8": {"esm2": {"passed": True, "model_set_digest": digest}}}, ""),
        ({"fp8": {"esm2": {"passed": False, "model_set_digest": digest, "faults": ["a", "b"]}}}, "failed: a, b"),
    ]  # fmt: skip
    folders = [tmp_path / f"set{number}" for number, _ in enumerate(cases)]
    for folder, (certified, _) in zip(folders, cases, strict=True):
        shutil.copytree(model_set, folder)
        (folder / "modelset.json").write_text(json.dumps({**description, "certified": certified}))
    questions = [{"folder": str(f), "engine": defaults(precision="fp8")} for f in folders]
    answers = ask(tmp_path, questions)
    run = Pipeline(tmp_path, folders[-1]).run("--input", READS, "--precision", "fp8")
    assert run.status == 1
    assert "Submitted process" not in run.output
    for folder, answer, (_, words) in zip(folders, answers, cases, strict=True):
        text = run.output if folder == folders[-1] else answer.get("error", "")
        if words:
            assert f"--precision fp8: ESM-2 of the model set random {words}" in text
            assert f"virnucpro models check {folder} --certify --device cuda" in text
        else:
            assert answer["encoders"]["esm2"]["precision"] == "fp8"
