"""Strange places and environments: they work, or one line says what to do before any task starts."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import NEXTFLOW, PROJECT, Pipeline

DEMO = PROJECT / "assets" / "demo" / "contigs_a.fa.gz"
PARTS = ["assets", "bin", "conf", "modules", "src", "subworkflows", "tools", "workflows"]
SMALL = ">x\n" + "ACGGCTGCAGCTAAA" * 60 + "\n"


def copy_project(copy: Path) -> Path:
    """Copy what a run needs, without a set-up."""
    copy.mkdir(parents=True)
    for name in ("main.nf", "nextflow.config", "nextflow_schema.json"):
        shutil.copy(PROJECT / name, copy)
    for name in PARTS:
        shutil.copytree(PROJECT / name, copy / name, ignore=shutil.ignore_patterns(".runtime"))
    return copy


def program(folder: Path, name: str, text: str) -> str:
    """Write a program and return a PATH where it comes first."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/bash\n{text}\n")
    (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def test_any_letter_in_a_path_and_leftovers_of_the_shell_do_no_harm(
    tmp_path: Path, model_set: Path
) -> None:
    project = copy_project(tmp_path / "clone [1] {ä,b} 'c' \"d\"")
    (project / ".venv").symlink_to(PROJECT / ".venv")
    set_folder = tmp_path / "set [2] {é} 'f'"
    shutil.copytree(model_set, set_folder)
    launch = tmp_path / "launch [3] {ö} *"
    launch.mkdir()
    (launch / "a[4]{ü} *'b.fa").write_text(SMALL)
    other = tmp_path / "other" / "virnucpro"
    other.mkdir(parents=True)
    (other / "__init__.py").touch()
    environment = {
        "LC_ALL": "C",
        "PYTHONPATH": str(other.parent),
        "PYTHONHOME": "/opt/none",
        "PYTHONSTARTUP": "/opt/none.py",
        "LD_PRELOAD": "",
        "USER": "",
        "HOME": "/nowhere",
    }
    pipeline = Pipeline(launch, set_folder, project, environment)
    run = pipeline.run("--input", "a[4]{ü} *'b.fa", "-w", "wörk [5] {6}", outdir="out [7] {ß}")
    assert run.status == 0, run.output
    assert (run.outdir / "summary.tsv").read_text().count("\n") == 2
    written = {path.name.split("_20")[0] for path in (run.outdir / "pipeline_info").iterdir()}
    assert written == {"execution_trace", "params", "versions.yml", "model_set.json"}
    if "tools/nextflow" in NEXTFLOW:
        assert "WARN" not in run.output
    assert ": 1 sample," in run.output


def test_a_set_up_that_cannot_work_is_one_line_before_any_task(
    tmp_path: Path, model_set: Path
) -> None:
    project = copy_project(tmp_path / "clone")
    cases: list[tuple[Pipeline, list[str], dict[str, str], str]] = [
        (Pipeline(tmp_path, model_set, project), [], {}, f"run `make setup` in {project}"),
        (Pipeline(tmp_path, model_set), ["--device", "cuda"], {"CUDA_VISIBLE_DEVICES": ""}, "--device cuda: "),
        (
            Pipeline(tmp_path, model_set, config=None),
            ["-profile", "docker", "--image_gpu", "registry.example/gpu:1"],
            {"PATH": program(tmp_path / "bin", "docker", "[ $1 != image ]")},
            "there is no image virnucpro-cpu:0.1.0 (--image_cpu). See docs/hpc.md",
        ),
        (
            Pipeline(tmp_path, model_set, config=None),
            ["-profile", "apptainer"],
            {"PATH": program(tmp_path / "bin", "apptainer", "echo broken; exit 3")},
            "-profile apptainer: apptainer does not run on this machine. (broken)",
        ),
    ]  # fmt: skip
    for pipeline, options, environment, words in cases:
        run = pipeline.run("--input", str(DEMO), *options, **environment)
        assert run.status == 1, words
        assert words in run.output, run.output
        assert not run.started()
        assert not run.outdir.exists()


def test_a_scheduler_that_takes_no_job_is_quoted(pipeline: Pipeline) -> None:
    refuse = "echo 'sbatch: error: invalid partition specified: gpuu' >&2; exit 1"
    path = program(pipeline.folder / "bin", "sbatch", refuse)
    pipeline.config = None  # with -c the v2 parser knows no profile of ours
    run = pipeline.run("--input", str(DEMO), "-profile", "slurm", PATH=path)
    assert run.status == 1
    assert "sbatch: error: invalid partition specified: gpuu" in run.output
    assert f"Free space on the disk of {pipeline.folder}/work: " in run.output
    assert "is ignored" not in run.output
    assert "Exception" not in run.output


def test_only_exit_status_2_of_split_is_a_fault_of_the_sample(pipeline: Pipeline) -> None:
    """A disk that fills up, seen from the outside: SPLIT ends with 1 and says nothing."""
    (pipeline.folder / "site.config").write_text(
        "process { withName: 'SPLIT' { beforeScript = 'exit 1' } }\n"
    )
    run = pipeline.run("--input", str(DEMO), "-c", "site.config")
    assert run.status == 1
    assert "terminated with an error exit status (1)" in run.output
    assert "Free space on the disk of" in run.output
    assert "is ignored" not in run.output


def test_after_ctrl_c_the_run_says_how_to_go_on(pipeline: Pipeline) -> None:
    (pipeline.folder / "a.fa").write_text(SMALL)
    log = pipeline.folder / "log.txt"
    with log.open("w") as out:
        started = subprocess.Popen(
            pipeline.command("--input", "a.fa", "--outdir", "results"),
            cwd=pipeline.folder, env={**os.environ, "NXF_ANSI_LOG": "false"}, stdout=out, stderr=out,
            # a suite that runs in the background ignores SIGINT, and so would the run
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
        )  # fmt: skip
        deadline = time.monotonic() + 120
        while "EMBED_ESM2" not in log.read_text() and time.monotonic() < deadline:
            time.sleep(0.1)
        started.send_signal(signal.SIGINT)
        assert started.wait(60) != 0
    lines = [line for line in log.read_text().splitlines() if "Stopped by SIGINT" in line]
    assert len(lines) == 1, log.read_text()
    assert "tasks. To go on: the same command with -resume" in lines[0]
    assert "Exception" not in log.read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_a_user_id_without_a_name_has_one_for_torch(tmp_path: Path) -> None:
    show = (
        'echo "$USER $LOGNAME $TRITON_CACHE_DIR $PYTHONPATH ${PYTHONHOME-none}"; touch "$HOME/x$$"'
    )
    done = subprocess.run(
        ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups", "bash", "-ec"]
        + [f". {PROJECT}/tools/task_env.sh; {show}"],
        env={"PATH": os.environ["PATH"], "VIRNUCPRO_DEVICE": "auto", "PYTHONHOME": "x", "HOME": "/"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    expected = f"54321 54321 /tmp/virnucpro-54321/triton {PROJECT}/src none\n"
    assert done.stdout == expected


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2])
def test_a_task_that_waits_for_a_gpu_stops_when_it_is_told_to(tmp_path: Path, number: int) -> None:
    """As Nextflow's wrapper sources it: no task has started, and its traps end nothing."""
    gpu = "[ $1 = -L ] && echo 'GPU 0: fake (UUID: GPU-0)' || echo '0, GPU-0'"
    environment = {
        **os.environ,
        "PATH": program(tmp_path / "bin", "nvidia-smi", gpu),
        "GPU_LEASE_DIR": str(tmp_path),
        "VIRNUCPRO_DEVICE": "cuda",
        "VIRNUCPRO_CACHE": str(tmp_path / "cache"),
    }
    environment.pop("CUDA_VISIBLE_DEVICES", None)
    wrapper = (
        'set -u; on_term() { set +e; [[ "$pid" ]] && kill $pid; }; trap on_term TERM INT USR2; '
        f"trap '' USR1; set +u; touch {tmp_path}/waits; . {PROJECT}/tools/task_env.sh"
    )
    lock = tmp_path / "GPU-0.lock"
    lock.touch()
    with subprocess.Popen(["flock", lock, "sleep", "60"]) as holder:
        task = subprocess.Popen(["bash", "-c", wrapper], env=environment)
        while not (tmp_path / "waits").exists():
            time.sleep(0.05)
        time.sleep(1.5)
        assert task.poll() is None
        task.send_signal(number)
        assert task.wait(10) == 143
        holder.terminate()
