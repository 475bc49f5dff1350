"""Set-up: prerequisites, the choice of Nextflow, images, and the environment of a task."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
TOOLS = PROJECT / "tools"
BASICS = ["bash", "dirname", "env", "flock", "grep", "id", "java", "mkdir", "mktemp"]
BASICS += ["mv", "readlink", "rm", "sed", "seq", "sleep", "sort", "touch"]
PYTHON = "exit 0"
JAVA = """echo 'openjdk version "17.0.15" 2025-04-15' >&2"""
TWO_GPUS = (
    "case $1 in -L) echo 'GPU 0: fake'; echo 'GPU 1: fake';; *) echo '0, A'; echo '1, B';; esac"
)


class Bin:
    """A folder that is the whole PATH: some programs of this machine, and fake ones."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        for name in BASICS:
            (folder / name).symlink_to(shutil.which(name) or "/nowhere")

    def add(self, **programs: str) -> None:
        """Add fake programs: name = bash text."""
        for name, text in programs.items():
            path = self.folder / name.replace("_", "-")
            path.unlink(missing_ok=True)
            path.write_text(f"#!/bin/bash\n{text}\n")
            path.chmod(0o755)

    def run(self, *command: object, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command with only these programs on PATH."""
        clean = {
            k: v for k, v in os.environ.items() if not k.startswith(("CUDA_", "SLURM_", "NXF_"))
        }
        return subprocess.run(
            [*map(str, command)],
            env={**clean, "PYTHON": "python3", "PATH": str(self.folder), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


@pytest.fixture
def programs(tmp_path: Path) -> Bin:
    return Bin(tmp_path / "bin")


@pytest.mark.parametrize(
    "fakes, missing",
    [
        ({"python3": PYTHON, "java": JAVA, "mvn": ""}, []),
        ({"python3": PYTHON, "java": JAVA, "nextflow": "echo nextflow version 25.04.6.1"}, []),
        (
            {"python3": "exit 1", "java": JAVA, "mvn": ""},
            ["Python 3.10 or newer (python3). Get it: apt-get install python3"],
        ),
        (
            {"python3": "[[ $2 != *ensurepip* ]]", "java": JAVA, "mvn": ""},
            ["the venv module of python3. Get it: apt-get install python3-venv"],
        ),
        (
            {"python3": PYTHON, "java": """echo 'java version "1.8.0_392"' >&2""", "mvn": ""},
            ["Java 17 or newer. Get it: apt-get install default-jre-headless"],
        ),
        (
            {"python3": PYTHON, "java": JAVA, "nextflow": "echo nextflow version 24.10.5.1"},
            [
                "nextflow (25.04 or newer) or Maven, which assembles it. Get it: apt-get install maven"
            ],
        ),
        ({"java": "exit 127"}, ["Python 3.10", "Java 17", "nextflow (25.04"]),
    ],
)
def test_each_missing_prerequisite_is_one_line(
    fakes: dict[str, str], missing: list[str], programs: Bin, tmp_path: Path
) -> None:
    programs.add(**fakes)
    done = programs.run(TOOLS / "check_prerequisites.sh", NXF_RUNTIME=str(tmp_path / "none"))
    lines = done.stdout.splitlines()
    assert done.returncode == bool(missing)
    assert len(lines) == len(missing), done.stdout
    for line, text in zip(lines, missing, strict=True):
        assert line.startswith(f"missing: {text}")


@pytest.mark.parametrize(
    "version, expected",
    [("25.04.0", True), ("25.10.2", True), ("24.10.6", False), ("broken", False)],
)
def test_a_nextflow_on_the_path_is_used_when_it_is_new_enough(
    version: str, expected: bool, programs: Bin
) -> None:
    programs.add(nextflow=f"echo nextflow version {version}.5949")
    path = programs.run(TOOLS / "find_nextflow.sh").stdout.strip()
    bundled = TOOLS / "nextflow" / "nextflow"
    assert path == str(programs.folder / "nextflow" if expected else bundled)


def test_a_failing_download_of_nextflow_is_reported(programs: Bin, tmp_path: Path) -> None:
    programs.add(mvn="exit 1")
    done = programs.run(TOOLS / "nextflow" / "nextflow", "-v", NXF_RUNTIME=str(tmp_path / "rt"))
    assert done.returncode == 1
    assert "Maven could not get Nextflow" in done.stdout.splitlines()[-1]


def test_setup_is_repeated_only_after_a_change_of_the_lock(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "containers/gpu/requirements.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(PROJECT / name, tmp_path / name)
        os.utime(tmp_path / name, (1, 1))
    (tmp_path / "tools").symlink_to(TOOLS)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "setup.ok").touch()

    def due() -> int:
        return subprocess.run(["make", "-q", "setup"], cwd=tmp_path).returncode

    assert due() == 0
    os.utime(tmp_path / "containers/gpu/requirements.txt")
    os.utime(tmp_path / ".venv" / "setup.ok", (2, 2))
    assert due() == 1


def test_images_are_built_with_the_chosen_sources(programs: Bin, tmp_path: Path) -> None:
    programs.add(podman=f'echo "$@" >> {tmp_path}/log')
    sources = {"BASE_IMAGE": "mirror.example/debian:12", "PIP_INDEX": "mirror.example/simple"}
    assert programs.run(TOOLS / "build_images.sh", "9.9", **sources).returncode == 0
    calls = (tmp_path / "log").read_text().splitlines()
    assert [call.split(" -t ")[1] for call in calls] == [
        f"virnucpro-{kind}:9.9 -f containers/{kind}/Dockerfile ." for kind in ("cpu", "gpu")
    ]
    for call in calls:
        assert "--build-arg BASE_IMAGE=mirror.example/debian:12" in call
        assert "--build-arg PIP_INDEX_URL=mirror.example/simple" in call


def test_docker_without_its_service_builds_nothing(programs: Bin) -> None:
    programs.add(docker="exit 1")
    done = programs.run(TOOLS / "build_images.sh", "9.9")
    assert done.returncode == 1
    assert done.stdout.startswith("missing: podman, or docker with its service running.")


def task_env(programs: Bin, tmp_path: Path, device: str, **environment: str) -> list[str]:
    """Return the GPU and the Triton cache that a task gets, and the status of its set-up."""
    show = "echo gpu=${CUDA_VISIBLE_DEVICES-unset}; echo triton=${TRITON_CACHE_DIR-unset}"
    settings = {
        "VIRNUCPRO_CACHE": str(tmp_path / "cache"),
        "GPU_LEASE_DIR": str(tmp_path / "lease"),
    }
    done = programs.run(
        "bash",
        "-ec",
        f". {TOOLS}/task_env.sh; {show}",
        **{**settings, "VIRNUCPRO_DEVICE": device, **environment},
    )
    return [*done.stdout.splitlines(), f"status={done.returncode}"]


@pytest.mark.parametrize(
    "device, environment, gpu",
    [
        ("auto", {}, "0"),
        ("cuda", {}, "0"),
        ("auto", {"CUDA_VISIBLE_DEVICES": "1"}, "1"),
        ("auto", {"CUDA_VISIBLE_DEVICES": ""}, ""),  # hidden on purpose: the CPU
        ("cpu", {}, "unset"),
        ("none", {}, "unset"),  # not an embedding process
        ("auto", {"VIRNUCPRO_EXECUTOR": "slurm", "CUDA_VISIBLE_DEVICES": "1"}, "1"),
        ("auto", {"VIRNUCPRO_EXECUTOR": "slurm"}, "unset"),
        # all of Nextflow inside a job of two GPUs: each task leases one
        ("auto", {"SLURM_JOB_ID": "7", "CUDA_VISIBLE_DEVICES": "0,1"}, "0"),
    ],
)
def test_a_local_task_leases_one_gpu(
    device: str, environment: dict[str, str], gpu: str, programs: Bin, tmp_path: Path
) -> None:
    programs.add(nvidia_smi=TWO_GPUS)
    triton = f"{tmp_path}/cache/triton" if device in ("auto", "cuda") else "unset"
    seen = task_env(programs, tmp_path, device, **environment)
    assert seen == [f"gpu={gpu}", f"triton={triton}", "status=0"]


def test_without_a_gpu_nothing_is_leased(programs: Bin, tmp_path: Path) -> None:
    assert task_env(programs, tmp_path, "auto")[0] == "gpu=unset"


def test_two_tasks_lease_two_gpus_and_a_third_times_out(programs: Bin, tmp_path: Path) -> None:
    programs.add(nvidia_smi=TWO_GPUS)
    script = tmp_path / "task.sh"  # each starts the next and waits for it
    script.write_text(
        f". {TOOLS}/task_env.sh; echo $CUDA_VISIBLE_DEVICES; unset CUDA_VISIBLE_DEVICES\n"
        "bash -e $0 || echo status $?\n"
    )
    done = programs.run(
        "bash",
        "-e",
        script,
        VIRNUCPRO_DEVICE="auto",
        VIRNUCPRO_CACHE=str(tmp_path / "cache"),
        GPU_LEASE_DIR=str(tmp_path / "lease"),
        GPU_LEASE_TIMEOUT="1",
    )
    assert done.stdout.splitlines() == ["0", "1", "gpu-lease: none free after 1s", "status 75"]


def test_a_cache_that_cannot_be_created_is_reported(programs: Bin, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    seen = task_env(programs, tmp_path, "auto", VIRNUCPRO_CACHE=str(tmp_path / "file" / "cache"))
    assert seen[-2:] == [
        f"cache_dir {tmp_path}/file/cache: cannot be made. Give another --cache_dir.",
        "status=73",
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_a_cache_of_another_user_is_refused(programs: Bin, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    os.chown(tmp_path / "cache", 12345, 12345)
    seen = task_env(programs, tmp_path, "auto")
    assert "is not yours to write" in seen[0]
    assert seen[-1] == "status=73"
