"""Programs on PATH: Java, Nextflow, container engines, SLURM."""

import re
import shutil
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from virnucpro.health.check_result import (
    FAIL,
    OK,
    SKIP,
    WARN,
    CheckResult,
    Machine,
    ProgramOutput,
    run_program,
)

MIN_JAVA, MIN_NEXTFLOW = 17, (25, 4)
ENGINES = ("docker", "podman", "apptainer", "singularity", "ch-run")
LAUNCHER_ONLY = "not on PATH; only the machine that starts runs needs it, and no checkout is here"
WITH_IMAGE_STORE = ("docker", "podman")  # the others run image files
SLURM = ("sbatch", "squeue", "scancel")


def check_java(machine: Machine) -> CheckResult:
    """Return whether Java is new enough for Nextflow."""
    remedy = f"Load a module, or install Java {MIN_JAVA} or newer (default-jre-headless)."
    if not _which("java", machine):
        if machine.pipeline is None:
            return CheckResult("java", SKIP, LAUNCHER_ONLY)
        return CheckResult("java", FAIL, "not on PATH", remedy)
    output = run_program(["java", "-version"], machine.environment)
    match = re.search(r'version "(\d+)', output.text)
    if match is None or int(match[1]) < MIN_JAVA:
        return CheckResult("java", FAIL, _first_line(output), remedy)
    return CheckResult("java", OK, _first_line(output))


def check_nextflow(machine: Machine) -> CheckResult:
    """Return whether there is a Nextflow that is new enough, without assembling the checkout's."""
    remedy = "Run `make setup` in the checkout, or put nextflow 25.04 or newer on PATH."
    path = _which("nextflow", machine)
    if machine.pipeline:
        path = (
            run_program([machine.pipeline / "tools/find_nextflow.sh"], machine.environment).text
            or None
        )
        bundled = machine.pipeline / "tools/nextflow"
        runtime = Path(machine.environment.get("NXF_RUNTIME") or bundled / ".runtime")
        if path and Path(path).parent == bundled and not (runtime / "ok").exists():
            found = "none on PATH that is new enough, and the checkout's is not assembled yet"
            return CheckResult("nextflow", FAIL, found, remedy)
    if not path:
        return CheckResult("nextflow", SKIP, LAUNCHER_ONLY)
    output = run_program([path, "-v"], machine.environment)
    match = re.search(r"version (\d+)\.(\d+)", output.text)
    if output.status != 0 or match is None:
        return CheckResult("nextflow", FAIL, f"{path}: {_first_line(output)}", remedy)
    found = f"{match.string[match.start() :].splitlines()[0]} ({path})"
    if (int(match[1]), int(match[2])) < MIN_NEXTFLOW:
        return CheckResult("nextflow", FAIL, found, remedy)
    return CheckResult("nextflow", OK, found)


def check_containers(machine: Machine) -> Iterator[CheckResult]:
    """Yield a result for each container engine: whether it works and has the images."""
    engines = [name for name in ENGINES if _which(name, machine)]
    if not engines:
        yield CheckResult("containers", OK, "no engine on PATH: tasks run in this environment")
    for name in engines:
        output = run_program([name, "--version"], machine.environment)
        if output.status != 0:
            remedy = "Fix it, or do not use its profile."
            yield CheckResult(name, WARN, _first_line(output), remedy)
        elif name in WITH_IMAGE_STORE:
            yield _check_images(name, _first_line(output), machine)
        else:
            yield CheckResult(name, OK, f"{_first_line(output)}; images are files (docs/hpc.md)")


def _check_images(engine: str, engine_version: str, machine: Machine) -> CheckResult:
    service = run_program([engine, "info"], machine.environment)
    if service.status != 0:
        remedy = f"Start its service and get access to it, or do not use -profile {engine}."
        found = f"{engine_version}, which does not work: {_last_line(service)}"
        return CheckResult(engine, WARN, found, remedy)
    names = [f"virnucpro-{kind}:{version('virnucpro')}" for kind in ("cpu", "gpu")]
    missing = [
        name
        for name in names
        if run_program([engine, "image", "inspect", name], machine.environment).status != 0
    ]
    if missing:
        remedy = "Run `make images`, or give yours as --image_cpu and --image_gpu."
        return CheckResult(engine, WARN, f"{engine_version}; without {', '.join(missing)}", remedy)
    return CheckResult(engine, OK, f"{engine_version}; {', '.join(names)}")


def check_slurm(machine: Machine) -> CheckResult:
    """Return whether SLURM answers, where its commands are installed."""
    missing = [name for name in SLURM if not _which(name, machine)]
    if len(missing) == len(SLURM):
        return CheckResult("slurm", SKIP, "not on PATH; -profile slurm alone needs it")
    if missing:
        remedy = "Load SLURM's module, or start on a login node."
        return CheckResult("slurm", WARN, f"{', '.join(missing)} not on PATH", remedy)
    slurm = run_program(["sbatch", "--version"], machine.environment)
    queue = run_program(["squeue", "--noheader", "--me"], machine.environment)
    if queue.status != 0:
        remedy = "Ask the site: -profile slurm cannot submit from here."
        found = f"{_last_line(slurm)}, which does not answer: {_last_line(queue)}"
        return CheckResult("slurm", WARN, found, remedy)
    num_jobs = len(queue.text.splitlines())
    return CheckResult("slurm", OK, f"{_last_line(slurm)}; {num_jobs} jobs of yours")


def _which(name: str, machine: Machine) -> str | None:
    return shutil.which(name, path=machine.environment.get("PATH"))


def _first_line(output: ProgramOutput) -> str:
    return (output.text.splitlines() or ["no output"])[0]


def _last_line(output: ProgramOutput) -> str:
    return (output.text.splitlines() or ["no output"])[-1]
