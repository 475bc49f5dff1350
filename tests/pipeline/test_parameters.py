"""Parameters that are wrong stop the run before any task, and the message helps."""

import json

import pytest
from conftest import PROJECT, Pipeline

DEMO = str(PROJECT / "assets" / "demo" / "contigs_a.fa.gz")


# The faults of a run are reported at once, so each of these runs holds many.
FAULTS: list[list[tuple[list[str], str]]] = [
    [
        (["--shard-tokens", "5"], "--shard-tokens: there is no such parameter. Did you mean --shard_tokens?"),
        (["--modelset", "x"], "--modelset: there is no such parameter. Did you mean --model_set?"),
        (["--shard_tokens", "many"], "--shard_tokens many must be an integer"),
        (["--device", "gpu"], "--device gpu must be one of auto, cpu, cuda"),
        (["--frame_rule", "longest"], "--frame_rule longest must be one of open, longest_open"),
        (["--viral_prior", "1"], "--viral_prior 1 must be above 0 and below 1"),
        (["--save_embeddings", "perhaps"], "--save_embeddings perhaps must be true or false"),
        (["--gpu_options", "--gres=gpu:1"], "--gpu_options true needs a value"),
        (["--cache_dir", "here"], "--cache_dir here must be an absolute path without quotes"),
        (["--checkpoint_dir", "here"], "--checkpoint_dir here must be false, or an absolute path"),
        (["--weights_dir", "/a/"], "--weights_dir /a/ must be an absolute path without a slash at its end"),
        (["--slurm_account", "007"], "--slurm_account 7 was written as 007 and read as a number"),
        (["--attention", "fast"], "--attention fast must be one of auto, reference, sdpa, triton, varlen, flash"),
        (["--min_length", "-1"], "--min_length -1 must be at least 0"),
        (["--max_length", "1kb"], "--max_length 1kb must be an integer"),
        (["--token_budget", "1000"], "--token_budget 1000 must be at least 1024"),
        (["--seed", "3"], "--seed is for --workflow train: omit it"),
        (["--input", DEMO], ""),
    ],
    [
        (["--shardTokens", "5"], "--shardTokens: there is no such parameter. Did you mean --shard_tokens?"),
        (["--divice", "cpu"], "--divice: there is no such parameter. Did you mean --device?"),
        (["--shard_tokens", "0"], "--shard_tokens 0 must be at least 1"),
        (["--viral_prior", "few"], "--viral_prior few must be a number"),
        ([], "--input is required"),
        (["--workflow", "train"], "--viral_prior is for --workflow predict"),
        (["--min_length", "9"], "--min_length is for --workflow predict"),
    ],
]  # fmt: skip


@pytest.mark.parametrize("faults", FAULTS)
def test_wrong_parameters_stop_the_run_and_are_reported_at_once(
    pipeline: Pipeline, faults: list[tuple[list[str], str]]
) -> None:
    run = pipeline.run(*(word for options, _ in faults for word in options))
    assert run.status == 1
    assert [words for _, words in faults if words not in run.output] == [], run.output
    assert "Submitted process" not in run.output


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
