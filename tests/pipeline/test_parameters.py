"""Parameters that are wrong stop the run before any task, and the message helps."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import PROJECT, Pipeline

DEMO = str(PROJECT / "assets" / "demo" / "contigs_a.fa.gz")


@pytest.mark.parametrize(
    "options, words",
    [
        (["--shard-tokens", "5"], "--shard-tokens: there is no such parameter. Did you mean --shard_tokens?"),
        (["--shardTokens", "5"], "Did you mean --shard_tokens?"),
        (["--modelset", "x"], "--modelset: there is no such parameter. Did you mean --model_set?"),
        (["--shard_tokens", "many"], "--shard_tokens many must be a whole number"),
        (["--shard_tokens", "0"], "--shard_tokens 0 must be at least 1"),
        (["--device", "gpu"], "--device gpu must be one of auto, cpu, cuda"),
        (["--frame_rule", "longest"], "--frame_rule longest must be one of open, longest_open"),
        (["--viral_prior", "1"], "--viral_prior 1 must be above 0 and below 1"),
        (["--viral_prior", "few"], "--viral_prior few must be a number"),
        (["--viral_prior", "0.1"], "--viral_prior 0.1: the model set random is not calibrated for chunks of 500 bp and the frame rule open (but for: nothing)"),
        (["--save_embeddings", "perhaps"], "--save_embeddings perhaps must be true or false"),
        (["--gpu_options", "--gres=gpu:1"], "--gpu_options true needs a value"),
        (["--device", "cpu", "--precision", "fp16"], "--precision fp16 needs a GPU: with --device cpu use auto, fp32 or bf16"),
        (["--cache_dir", "here"], "--cache_dir here must be an absolute path without quotes"),
        (["--weights_dir", "/a/"], "--weights_dir /a/ must be an absolute path without a slash at its end"),
        (["--slurm_account", "007"], "--slurm_account 7 was written as 007 and read as a number"),
        (["--chunk_length", "400"], "--chunk_length 400: the model set random was trained on 500, 300 bp."),
    ],
)  # fmt: skip
def test_a_wrong_parameter_stops_the_run(
    pipeline: Pipeline, options: list[str], words: str
) -> None:
    run = pipeline.run("--input", DEMO, *options)
    assert run.status == 1
    assert words in run.output
    assert "Submitted process" not in run.output


def test_all_faults_are_told_at_once_and_input_is_required(pipeline: Pipeline) -> None:
    run = pipeline.run("--divice", "cpu", "--shard_tokens", "x")
    assert "--divice: there is no such parameter. Did you mean --device?" in run.output
    assert "--shard_tokens x must be" in run.output
    assert "--input is required" in run.output


def test_a_params_file_is_checked_too(pipeline: Pipeline) -> None:
    (pipeline.folder / "p.json").write_text(json.dumps({"input": DEMO, "shard-tokens": 5}))
    run = pipeline.run("-params-file", "p.json")
    assert run.status == 1
    assert "--shard-tokens: there is no such parameter" in run.output


def test_an_unknown_parameter_of_a_site_config_is_one_warning(pipeline: Pipeline) -> None:
    (pipeline.folder / "site.config").write_text("params.site_name = 'x'\nparams.site_mail = 'y'\n")
    run = pipeline.run("-c", "site.config", "--input", DEMO, "-stub-run")
    assert run.status == 0, run.output
    warning = "Configuration sets parameters that this pipeline does not have: site_mail, site_name"
    assert run.output.count(warning) == 1


def test_help_lists_every_parameter_of_the_schema(pipeline: Pipeline) -> None:
    run = pipeline.run("--help")
    schema = json.loads((PROJECT / "nextflow_schema.json").read_text())
    assert run.status == 0
    for group in schema["$defs"].values():
        assert group["title"] in run.output
        for name, rule in group["properties"].items():
            assert f"--{name} " in run.output
            assert rule["description"] in run.output


@pytest.mark.parametrize(
    "spoil, words",
    [
        ({"classifier": {"input_width": 3328}}, "the encoders give 64 + 64 numbers a frame, the classifier takes 3328"),
        ({"esm2": {"file": "gone.safetensors"}, "tokenizer": {"file": "../store/t.json"}},
         "  tokenizer: ../store/t.json is missing. The set refers to a store of components beside it: copy {0}/store too, or give --weights_dir.\n"
         "  esm2: gone.safetensors is missing. Copy the whole folder again, or give --weights_dir."),
        ({"esm2": {"sha256": "abc"}, "dnabert_s": {"width": None, "file": 7}, "name": "", "chunk_bp": [0]},
         "modelset.json: missing or not as docs/model_sets.md says: name, chunk_bp, components.dnabert_s.file, "
         "components.dnabert_s.width, components.esm2.sha256. Build or fetch the set again, or mend modelset.json."),
        ({"format": 2}, "modelset.json: format is 2, this version reads format 1."),
        ({"components": []}, "components.dnabert_s.file, components.dnabert_s.sha256"),
    ],
)  # fmt: skip
def test_a_model_set_that_does_not_fit_is_refused(
    pipeline: Pipeline, spoil: dict[str, Any], words: str
) -> None:
    description = json.loads((pipeline.model_set / "modelset.json").read_text())
    for name, change in spoil.items():
        if name in description["components"]:
            description["components"][name].update(change)
        else:
            description[name] = change
    bad = pipeline.folder / "bad"
    bad.mkdir()
    for file in pipeline.model_set.iterdir():
        (bad / file.name).symlink_to(file)
    (bad / "modelset.json").unlink()
    (bad / "modelset.json").write_text(json.dumps(description))
    run = Pipeline(pipeline.folder, bad).run("--input", DEMO)
    assert run.status == 1
    assert words.format(pipeline.folder) in run.output
    assert "Submitted process" not in run.output


def test_a_model_set_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path, tmp_path)
    run = pipeline.run("--input", DEMO)
    assert f"--model_set {tmp_path}: there is no modelset.json in it." in run.output
    for text in ('{"name": ', ""):
        (tmp_path / "modelset.json").write_text(text)
        run = pipeline.run("--input", DEMO)
        assert run.status == 1
        assert f"{tmp_path}/modelset.json: is no JSON (" in run.output
    assert "It was cut short or edited: copy it again." in run.output
