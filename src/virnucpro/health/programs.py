"""Programs on PATH: Java, Nextflow, container engines, SLURM."""

import re
import shutil
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from virnucpro.health.finding import FAIL, OK, SKIP, WARN, Answer, Finding, Machine, ask

FIRST_JAVA, FIRST_NEXTFLOW = 17, (25, 4)
ENGINES = ("docker", "podman", "apptainer", "singularity", "ch-run")
LAUNCHER_ONLY = "not on PATH; only the machine that starts runs needs it, and no checkout is here"
WITH_IMAGES = ("docker", "podman")  # the others take files
SLURM = ("sbatch", "squeue", "scancel")


def check_java(machine: Machine) -> Finding:
    """Return whether Java is new enough for Nextflow."""
    remedy = f"Load a module, or install Java {FIRST_JAVA} or newer (default-jre-headless)."
    if not _which("java", machine):
        if machine.pipeline is None:
            return Finding("java", SKIP, LAUNCHER_ONLY)
        return Finding("java", FAIL, "not on PATH", remedy)
    answer = ask(["java", "-version"], machine.environment)
    match = re.search(r'version "(\d+)', answer.text)
    if match is None:
        return Finding("java", FAIL, _first_line(answer), remedy)
    found = _first_line(answer)
    if int(match[1]) < FIRST_JAVA:
        return Finding("java", FAIL, found, remedy)
    return Finding("java", OK, found)


def check_nextflow(machine: Machine) -> Finding:
    """Return whether there is a Nextflow that is new enough; ours is not assembled here."""
    remedy = "Run `make setup` in the checkout, or put nextflow 25.04 or newer on PATH."
    path = _which("nextflow", machine)
    if machine.pipeline:
        path = ask([machine.pipeline / "tools/find_nextflow.sh"], machine.environment).text or None
        own = machine.pipeline / "tools/nextflow"
        runtime = Path(machine.environment.get("NXF_RUNTIME") or own / ".runtime")
        if path and Path(path).parent == own and not (runtime / "ok").exists():
            found = "none on PATH that is new enough, and the checkout's is not assembled yet"
            return Finding("nextflow", FAIL, found, remedy)
    if not path:
        return Finding("nextflow", SKIP, LAUNCHER_ONLY)
    answer = ask([path, "-v"], machine.environment)
    match = re.search(r"version (\d+)\.(\d+)", answer.text)
    if answer.status != 0 or match is None:
        return Finding("nextflow", FAIL, f"{path}: {_first_line(answer)}", remedy)
    found = f"{match.string[match.start() :].splitlines()[0]} ({path})"
    if (int(match[1]), int(match[2])) < FIRST_NEXTFLOW:
        return Finding("nextflow", FAIL, found, remedy)
    return Finding("nextflow", OK, found)


def check_containers(machine: Machine) -> Iterator[Finding]:
    """Return which container engines there are, and whether they have the images."""
    engines = [name for name in ENGINES if _which(name, machine)]
    if not engines:
        found = "no engine on PATH: tasks run in this environment"
        yield Finding("containers", OK, found)
    for name in engines:
        answer = ask([name, "--version"], machine.environment)
        if answer.status != 0:
            remedy = "Mend it, or do not use its profile."
            yield Finding(name, WARN, _first_line(answer), remedy)
        elif name in WITH_IMAGES:
            yield _check_images(name, _first_line(answer), machine)
        else:
            yield Finding(name, OK, f"{_first_line(answer)}; images are files (docs/hpc.md)")


def _check_images(engine: str, told: str, machine: Machine) -> Finding:
    service = ask([engine, "info"], machine.environment)
    if service.status != 0:
        remedy = f"Start its service and get leave to use it, or do not use -profile {engine}."
        return Finding(engine, WARN, f"{told}, which does not work: {_last_line(service)}", remedy)
    names = [f"virnucpro-{kind}:{version('virnucpro')}" for kind in ("cpu", "gpu")]
    missing = [
        name
        for name in names
        if ask([engine, "image", "inspect", name], machine.environment).status != 0
    ]
    if missing:
        remedy = "Run `make images`, or give yours as --image_cpu and --image_gpu."
        return Finding(engine, WARN, f"{told}; without {', '.join(missing)}", remedy)
    return Finding(engine, OK, f"{told}; {', '.join(names)}")


def check_slurm(machine: Machine) -> Finding:
    """Return whether SLURM answers, where its commands are."""
    missing = [name for name in SLURM if not _which(name, machine)]
    if len(missing) == len(SLURM):
        return Finding("slurm", SKIP, "not on PATH; -profile slurm alone needs it")
    if missing:
        remedy = "Load SLURM's module, or start on a login node."
        return Finding("slurm", WARN, f"{', '.join(missing)} not on PATH", remedy)
    told = ask(["sbatch", "--version"], machine.environment)
    answer = ask(["squeue", "--noheader", "--me"], machine.environment)
    if answer.status != 0:
        remedy = "Ask the site: -profile slurm cannot submit from here."
        found = f"{_last_line(told)}, which does not answer: {_last_line(answer)}"
        return Finding("slurm", WARN, found, remedy)
    return Finding(
        "slurm", OK, f"{_last_line(told)}; {len(answer.text.splitlines())} jobs of yours"
    )


def _which(name: str, machine: Machine) -> str | None:
    return shutil.which(name, path=machine.environment.get("PATH"))


def _first_line(answer: Answer) -> str:
    return (answer.text.splitlines() or ["no answer"])[0]


def _last_line(answer: Answer) -> str:
    return (answer.text.splitlines() or ["no answer"])[-1]
