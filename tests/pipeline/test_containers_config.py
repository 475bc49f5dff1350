"""The command lines that the container profiles make, seen by an engine that only writes them down."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import NEXTFLOW, PROJECT

PIPELINE = """
process CPU_TASK {
    label 'process_low'

    output:
    stdout

    script:
    "echo cpu"
}

process GPU_TASK {
    label 'process_gpu'

    output:
    stdout

    script:
    'echo "HOME=$HOME USER=$USER CUDA_VISIBLE_DEVICES=${CUDA_VISIBLE_DEVICES-unset} TRITON=${TRITON_CACHE_DIR-unset} PARTS=${VIRNUCPRO_CHECKPOINTS-unset}"'
}

workflow {
    CPU_TASK()
    GPU_TASK()
    GPU_TASK.out.view()
}
"""

# Stands for docker, podman, apptainer and singularity. Apptainer's caller empties the environment,
# so the log lies beside the program.
ENGINE = """#!/bin/bash
{ printf '%s' "${0##*/}"; printf ' %q' "$@"; echo; } >> "${0%/*}/log"
while IFS='=' read -r name value; do
  case $name in APPTAINERENV_*|SINGULARITYENV_*) export "${name#*ENV_}=$value";; esac
done < <(env)
while [ $# -gt 0 ] && [ "$1" != /bin/bash ]; do shift; done
[ $# = 0 ] || exec "$@"
"""

TWO_GPUS = """#!/bin/bash
case $1 in
  -L) echo 'GPU 0: fake (UUID: GPU-0)'; echo 'GPU 1: fake (UUID: GPU-1)';;
  *) echo '0, GPU-0'; echo '1, GPU-1';;
esac
"""
NO_GPU = "#!/bin/bash\nexit 9\n"

GPU_FLAGS = {
    "docker": ["--gpus", "all"],
    "podman": ["--device", "nvidia.com/gpu=all"],
    "apptainer": ["--nv"],
    "singularity": ["--nv"],
}


def program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


class Site:
    """A copy of the configuration, two labelled processes, and stand-ins for engine and driver."""

    def __init__(self, folder: Path, nvidia_smi: str) -> None:
        self.folder = folder
        self.cache = folder / "node cache"
        (folder / "main.nf").write_text(PIPELINE)
        config = (PROJECT / "nextflow.config").read_text()
        (folder / "nextflow.config").write_text(  # reports only cost time here
            re.sub(r"(?m)^( +enabled +=) true", r"\1 false", config)
        )
        shutil.copytree(PROJECT / "conf", folder / "conf")
        (folder / "tools").symlink_to(PROJECT / "tools")
        self.bin = folder / "stubs"
        self.bin.mkdir()
        for engine in GPU_FLAGS:
            program(self.bin / engine, ENGINE)
        program(self.bin / "nvidia-smi", nvidia_smi)

    def run(self, engine: str, *options: str, **environment: str) -> dict[str, list[str]]:
        """Return the engine's arguments for the task on a CPU ("cpu.sif") and a GPU ("gpu.sif")."""
        clean = {k: v for k, v in os.environ.items() if not re.match("CUDA_|SLURM_|TRITON_", k)}
        clean |= {
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "GPU_LEASE_DIR": str(self.folder / "lease"),
            **environment,
        }
        images = ["--image_cpu", "/site/cpu.sif", "--image_gpu", "/site/gpu.sif"]
        done = subprocess.run(
            [NEXTFLOW, "run", "main.nf", "-profile", engine, *images, *options]
            + ["--cache_dir", str(self.cache)],
            cwd=self.folder,
            env=clean,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout
        assert "undefined parameter" not in done.stdout
        self.output = done.stdout
        lines = (self.bin / "log").read_text().splitlines()
        calls = [shlex.split(re.sub(r"\$'.*'", "...", line)) for line in lines]
        return {
            image.split("/")[-1]: [*call[: call.index(image)]]
            for call in calls
            for image in ("/site/cpu.sif", "/site/gpu.sif")
            if image in call
        }


def bind_of(engine: str, folder: Path, *, read_only: bool = False) -> list[str]:
    """Return how an engine is told to show a folder inside."""
    if "--nv" in GPU_FLAGS[engine]:
        return ["-B", f"{folder}:{folder}:ro" if read_only else f"{folder}"]
    return ["-v", f"{folder}:{folder}" + (":ro" if read_only else "")]


def holds(arguments: list[str], part: list[str]) -> bool:
    """Tell whether the arguments hold the part in one piece."""
    starts = range(len(arguments) - len(part) + 1)
    return any(arguments[start : start + len(part)] == part for start in starts)


@pytest.mark.parametrize("engine", GPU_FLAGS)
def test_only_a_gpu_task_gets_the_gpu_and_the_cache(engine: str, tmp_path: Path) -> None:
    site = Site(tmp_path, TWO_GPUS)
    weights = tmp_path / "node weights"  # not on this node: inside the image
    arguments = site.run(engine, "--weights_dir", str(weights))
    assert holds(arguments["gpu.sif"], GPU_FLAGS[engine])
    assert not holds(arguments["cpu.sif"], GPU_FLAGS[engine])
    for folder in (site.cache, tmp_path / "work.checkpoints"):
        bind = bind_of(engine, folder)
        assert holds(arguments["gpu.sif"], bind)
        assert not holds(arguments["cpu.sif"], bind)
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not any(str(weights) in argument for a in arguments.values() for argument in a)
    # what the task sees: the GPU that it leased, the cache, and a home
    assert re.search(r"HOME=/tmp USER=virnucpro CUDA_VISIBLE_DEVICES=[01] ", site.output)
    assert f"TRITON={site.cache}/triton" in site.output
    if engine in ("docker", "podman"):  # which do not hand on what they are not told to
        names = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "TRITON_CACHE_DIR")
        for name in (*names, "VIRNUCPRO_CHECKPOINTS"):
            assert holds(arguments["gpu.sif"], ["-e", name])
    assert f"PARTS={tmp_path}/work.checkpoints" in site.output


@pytest.mark.parametrize(
    "engine, device, nvidia_smi",
    [
        *((engine, "auto", NO_GPU) for engine in GPU_FLAGS),
        ("docker", "cpu", TWO_GPUS),  # there is one, and it is not wanted
        ("apptainer", "cpu", TWO_GPUS),
    ],
)
def test_without_a_gpu_there_is_no_flag_and_weights_on_the_node_are_shown_inside(
    engine: str, device: str, nvidia_smi: str, tmp_path: Path
) -> None:
    site = Site(tmp_path, nvidia_smi)
    weights = tmp_path / "node weights"
    weights.mkdir()
    options = ["--device", device, "--checkpoint_dir", "false"]
    arguments = site.run(engine, "--weights_dir", str(weights), *options)
    assert not any("checkpoints:" in argument for a in arguments.values() for argument in a)
    bind = bind_of(engine, weights, read_only=True)
    for image in ("cpu.sif", "gpu.sif"):
        assert holds(arguments[image], bind), image
    # docker and podman would fail for the flag; for --nv apptainer only warns
    flagged = device == "auto" and "--nv" in GPU_FLAGS[engine]
    assert holds(arguments["gpu.sif"], GPU_FLAGS[engine]) is flagged
    assert "CUDA_VISIBLE_DEVICES=unset" in site.output


def test_under_slurm_a_podman_container_gets_the_physical_index(tmp_path: Path) -> None:
    site = Site(tmp_path, NO_GPU)
    index = {"SLURM_JOB_GPUS": "3", "CUDA_VISIBLE_DEVICES": "0"}
    arguments = site.run("podman", "--device", "cuda", **index, NXF_SYNTAX_PARSER="v1")["gpu.sif"]
    assert holds(arguments, GPU_FLAGS["podman"])  # cuda: always, so that a node without one fails
    values = [b for a, b in zip(arguments, arguments[1:], strict=False) if a == "-e"]
    assert values[-1] == "CUDA_VISIBLE_DEVICES=3"  # the last one counts


def test_only_the_embedding_steps_have_the_gpu_label() -> None:
    labelled = {
        path.parent.name
        for path in PROJECT.glob("modules/local/*/main.nf")
        if "label 'process_gpu'" in path.read_text()
    }
    assert labelled == {"embed_dnabert_s", "embed_esm2"}


def test_default_images_have_the_version_that_make_images_builds() -> None:
    version = re.search('^version = "(.*)"', (PROJECT / "pyproject.toml").read_text(), re.M)
    names = re.findall(
        "'(virnucpro-.pu:.*?)'", (PROJECT / "conf" / "containers.config").read_text()
    )
    assert version
    assert names == [f"virnucpro-cpu:{version[1]}", f"virnucpro-gpu:{version[1]}"]
