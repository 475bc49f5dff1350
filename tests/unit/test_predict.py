"""virnucpro predict: the fork's options in, one nextflow command out."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from virnucpro.cli import predict
from virnucpro.cli.main import main
from virnucpro.migration import places
from virnucpro.migration.options import OPTIONS, VARIABLES

ROOT = Path(__file__).resolve().parents[2]
FAKE = """#!/bin/bash
[ "$1" = -v ] && { echo nextflow version 25.04.4.5949; exit; }
{ printf '%s\\n' "$@"; } > seen.txt
{ echo "${CUDA_VISIBLE_DEVICES-unset}"; echo "${NXF_OPTS-unset}"; } > variables.txt
exit ${FAKE_STATUS:-0}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A launch folder with `x.fa.gz`, and a nextflow on PATH that records its arguments."""
    for name in ("CUDA_VISIBLE_DEVICES", "NXF_OPTS", "NXF_CACHE_DIR", predict.MODEL_SET_VARIABLE,
                 places.PIPELINE_VARIABLE):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / "nextflow").write_text(FAKE)
    (bin_folder / "nextflow").chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_folder}:{os.environ['PATH']}")
    launch = tmp_path / "launch folder"
    launch.mkdir()
    (launch / "x.fa.gz").touch()
    monkeypatch.chdir(launch)
    monkeypatch.setattr(os, "execve", instead_of_exec)
    return launch


def instead_of_exec(path, arguments, environment):
    """Run a program in a child process, and exit with its status."""
    raise SystemExit(subprocess.run(arguments, executable=path, env=environment).returncode)


def seen(*options: str) -> list[str]:
    """Return the arguments that nextflow got, without those that every run has."""
    with pytest.raises(SystemExit) as end:
        main(["predict", "x.fa.gz", *options])
    assert end.value.code == 0
    words = Path("seen.txt").read_text().splitlines()
    here = str(Path.cwd())
    for usual in ("run", str(ROOT), "--input", f"{here}/x.fa.gz", "--outdir", f"{here}/x_predictions"):  # fmt: skip
        if usual in words:
            words.remove(usual)
    return words


def variables() -> list[str]:
    """Return CUDA_VISIBLE_DEVICES and NXF_OPTS as nextflow saw them."""
    return Path("variables.txt").read_text().splitlines()


@pytest.mark.parametrize(
    "options, expected",
    [
        ([], []),
        (["-m", "300"], ["--chunk_length", "300"]),
        (["-m", "500", "-e", "500"], ["--chunk_length", "500"]),
        (["--expected-length", "150"], ["--chunk_length", "150"]),
        (["-d", "cpu"], ["--device", "cpu"]),
        (["--no-gpu", "-d", "cpu"], ["--device", "cpu"]),
        (["--use-gpu"], ["--device", "cuda"]),
        (["-k"], ["--save_embeddings", "true"]),
        (["--no-progress"], ["-ansi-log", "false"]),
        (["-q"], ["-q"]),
        (["--quiet", "-l", "a b.log"], ["-q", "-log", "a b.log"]),
        (["--", "-profile", "docker", "--", "-m"], ["-profile", "docker", "--", "-m"]),
    ],
)
def test_options_become_nextflows(folder, options, expected):
    assert seen(*options) == expected


def test_the_whole_command_in_order(folder):
    seen("-q", "--no-progress", "-o", "out", "--", "-profile", "slurm")
    assert Path("seen.txt").read_text().splitlines() == [
        "-q", "run", str(ROOT), "-ansi-log", "false",
        "--input", f"{folder}/x.fa.gz", "--outdir", f"{folder}/out", "-profile", "slurm",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "options, device, gpus",
    [
        (["-d", "auto"], "auto", "unset"),
        (["-d", "cuda"], "cuda", "unset"),
        (["-d", "cuda:3"], "cuda", "3"),
        (["-d", "1"], "cuda", "1"),
        (["--gpus", "2,3"], "cuda", "2,3"),
        (["--gpus", "2", "--device", "cuda:2"], "cuda", "2"),
    ],
)
def test_gpus_are_chosen_by_variable(folder, options, device, gpus):
    assert seen(*options) == ["--device", device]
    assert variables()[0] == gpus


def test_threads_are_the_cpus_that_java_sees(folder, monkeypatch):
    monkeypatch.setenv("NXF_OPTS", "-Xmx1g")
    assert seen("--merge-threads", "3") == []
    assert variables()[1] == "-Xmx1g -XX:ActiveProcessorCount=3"


@pytest.mark.parametrize(
    "option", [o for o in OPTIONS if o.support == "no effect"], ids=lambda o: o.names
)
def test_an_option_without_effect_says_so_and_why(folder, capfd, option):
    for flag in option.flags:
        assert seen(flag, *["7"] * (option.value is not None)) == []
        lines = capfd.readouterr().err.splitlines()
        assert f"{option.names}: no effect here. {option.here}" in lines
        assert len(lines) == 3  # with the model set and the command


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda v: v.name)
def test_the_forks_variables_are_reported(folder, capfd, monkeypatch, variable):
    monkeypatch.setenv(variable.name, "false")
    assert seen() == []
    assert variable.name not in capfd.readouterr().err
    monkeypatch.setenv(variable.name, "true")
    is_supported = variable.name == "VIRNUCPRO_DISABLE_FP16"
    assert seen() == (["--precision", "fp32"] if is_supported else [])
    text = " is set." if is_supported else ": no effect here."
    assert f"{variable.name}{text} {variable.here}" in capfd.readouterr().err


@pytest.mark.parametrize(
    "options, words",
    [
        (["-p", "m.pth"], ["-p/--model-path: refused.", "virnucpro models build"]),
        (["-c", "c.yaml"], ["-c/--config: refused.", "docs/migration.md"]),
        (["-m", "custom"], ["-m/--model-type custom", "virnucpro models build"]),
        (["-m", "500", "-e", "300"], ["-e/--expected-length asks for --chunk_length 300, another option for 500."]),
        (["--no-gpu", "--use-gpu"], ["--no-gpu asks for --device cpu, another option for cuda."]),
        (["--gpus", "0", "-d", "cpu"], ["--gpus asks for --device cuda, another option for cpu."]),
        (["--gpus", "0", "-d", "1"], ["--gpus asks for GPU 0, another option for 1."]),
        (["--gpus", "0;1"], ["--gpus 0;1: give numbers with commas between"]),
        (["-d", "gpu"], ["-d/--device gpu: give auto, cpu, cuda, cuda:N or N."]),
        (["-t", "0"], ["-t/--threads/--merge-threads 0: must be >= 1."]),
        (["-p", "m", "-c", "c"], ["-p/--model-path: refused.", "-c/--config: refused."]),
    ],
)  # fmt: skip
def test_what_is_refused_starts_nothing(folder, capsys, options, words):
    assert main(["predict", "x.fa.gz", *options]) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in words), error
    assert not Path("seen.txt").exists()


@pytest.mark.parametrize(
    "input_file, words", [("y.fa", "y.fa: there is no such file"), (".", ".: is a folder")]
)
def test_an_input_that_is_not_a_file_is_refused(folder, capsys, input_file, words):
    assert main(["predict", input_file]) == 2
    assert words in capsys.readouterr().err


def test_an_unknown_option_is_not_passed_on(folder, capsys):
    with pytest.raises(SystemExit) as end:
        main(["predict", "x.fa.gz", "--chunk_length", "5"])
    assert end.value.code == 2
    assert "unrecognized arguments: --chunk_length" in capsys.readouterr().err


def test_the_command_is_shown_as_a_shell_takes_it(folder, capfd):
    seen("-d", "2", "--", "--x", "a'b")
    line = capfd.readouterr().err.splitlines()[-1]
    assert line.startswith("CUDA_VISIBLE_DEVICES=2 CUDA_DEVICE_ORDER=PCI_BUS_ID /")
    Path("seen.txt").rename("before.txt")
    subprocess.run(["bash", "-c", line], check=True)
    assert Path("seen.txt").read_text() == Path("before.txt").read_text()


def test_the_model_set_is_the_options_or_the_variables_or_the_bundled_one(
    folder, monkeypatch, capfd
):
    assert seen() == []
    assert "model set: the bundled one" in capfd.readouterr().err
    monkeypatch.setenv("VIRNUCPRO_MODEL_SET", "sets/one")
    assert seen() == ["--model_set", f"{folder}/sets/one"]
    assert "bundled" not in capfd.readouterr().err
    assert seen("--model-set", "/sets/two") == ["--model_set", "/sets/two"]


def test_results_of_another_run_are_not_mixed_with_new_ones(folder, capsys):
    Path("x_predictions").mkdir()
    assert seen() == []  # an empty folder has no results
    Path("x_predictions/pipeline_info").mkdir()
    assert seen() == []  # that of a run which was refused at its start has no results
    Path("x_predictions/file").touch()
    Path("seen.txt").unlink()
    assert main(["predict", "x.fa.gz"]) == 2
    assert "is not empty. Continue that run with --resume" in capsys.readouterr().err
    assert not Path("seen.txt").exists()
    assert seen("--force") == []


@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_resume_takes_the_last_run_of_the_same_folder(folder, capfd, quote):
    assert seen("--resume") == []
    assert f"no run from this folder wrote {folder}/x_predictions" in capfd.readouterr().err
    row = "2026-01-01 00:00:00\t1s\tname_{0}\tOK\tabc\tsession-{0}\tnextflow run /p --outdir {1}\n"
    Path(".nextflow").mkdir()
    Path(".nextflow/history").write_text(
        row.format(1, f"{quote}{folder}/x_predictions{quote} --device cpu")
        + row.format(2, f"{quote}{folder}/x_predictions{quote}")
        + row.format(3, f"{quote}{folder}/x_predictions_2{quote}")
        + row.format(4, f"{quote}{folder}/other{quote}")
    )
    assert seen("--resume") == ["-resume", "session-2"]
    assert "--resume" not in capfd.readouterr().err


def test_the_exit_status_is_nextflows(folder, monkeypatch):
    monkeypatch.setenv("FAKE_STATUS", "17")
    with pytest.raises(SystemExit) as end:
        main(["predict", "x.fa.gz"])
    assert end.value.code == 17


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_nextflow(folder, number):
    fake = FAKE.replace("exit ${", "trap 'exit 41' INT TERM; grep SigIgn /proc/$$/status > ignored.txt; touch ready; while :; do sleep 0.05; done; exit ${")  # fmt: skip
    (folder.parent / "bin/nextflow").write_text(fake)
    with subprocess.Popen(
        [sys.executable, "-m", "virnucpro", "predict", "x.fa.gz"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        # what runs in the background may have inherited that SIGINT is ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        while not Path("ready").exists() and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(number)
        try:
            assert process.wait(20) == 41
        finally:
            process.kill()
    ignored = int(Path("ignored.txt").read_text().split()[1], 16)
    assert not ignored >> (signal.SIGPIPE - 1) & 1  # else a task's `zcat | head` would complain


def test_the_forks_global_options_stand_before_the_command(folder):
    with pytest.raises(SystemExit):
        main(["-v", "-l", "predict", "predict", "x.fa.gz", "-d", "cpu"])
    words = Path("seen.txt").read_text().splitlines()
    assert words[:3] == ["-log", "predict", "run"] and "--device" in words


@pytest.mark.parametrize("by", ["option", "variable"])
def test_the_pipeline_may_be_elsewhere(folder, monkeypatch, capsys, by):
    monkeypatch.setattr(places, "checkout", lambda: None)
    assert main(["predict", "x.fa.gz"]) == 2
    assert "the pipeline is not found" in capsys.readouterr().err
    monkeypatch.setenv("VIRNUCPRO_PIPELINE", "/nowhere" if by == "option" else str(ROOT))
    options = ["--pipeline", str(ROOT)] if by == "option" else []
    assert seen(*options) == []
    monkeypatch.setenv("VIRNUCPRO_PIPELINE", str(folder))
    assert main(["predict", "x.fa.gz"]) == 2
    assert f"VIRNUCPRO_PIPELINE {folder}: has no main.nf" in capsys.readouterr().err


def test_the_checkout_is_found():
    assert places.checkout() == ROOT


def test_each_flag_belongs_to_one_option():
    flags = [flag for option in OPTIONS for flag in option.flags]
    assert len(flags) == len(set(flags))
