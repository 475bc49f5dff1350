"""Finds the pipeline, its Nextflow and its last run."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import virnucpro
from virnucpro.errors import InputError

PIPELINE_VARIABLE = "VIRNUCPRO_PIPELINE"
PARTS = ("main.nf", "nextflow.config", "tools/find_nextflow.sh")
HISTORY_FIELDS = 7  # time, duration, run name, status, revision, session, command


def checkout() -> Path | None:
    """Return the checkout that this library is installed from, None without one."""
    folder = Path(virnucpro.__file__).resolve().parents[2]
    return folder if all((folder / part).exists() for part in PARTS) else None


def find_pipeline(named: Path | None, environment: Mapping[str, str]) -> Path:
    """Return the folder of the pipeline: the named one, or the variable's, or the checkout.

    Raises: InputError when there is none, or the named one is not the pipeline.
    """
    where = "--pipeline"
    if named is None and environment.get(PIPELINE_VARIABLE):
        where, named = PIPELINE_VARIABLE, Path(environment[PIPELINE_VARIABLE])
    if named is None:
        folder = checkout()
        if folder is None:
            raise InputError(
                f"the pipeline is not found: {Path(virnucpro.__file__).parent} is not in a "
                f"checkout of virnucpro-nf. Give its folder as --pipeline, or set "
                f"{PIPELINE_VARIABLE}."
            )
        return folder
    missing = [part for part in PARTS if not (named / part).exists()]
    if missing:
        raise InputError(
            f"{where} {named}: has no {', '.join(missing)}. Give a checkout of virnucpro-nf."
        )
    return named.resolve()


def find_nextflow(pipeline: Path) -> str:
    """Return the nextflow that the pipeline's tools/find_nextflow.sh finds.

    Raises: InputError when it finds none.
    """
    tool = pipeline / "tools/find_nextflow.sh"
    done = subprocess.run([tool], capture_output=True, text=True)
    if done.returncode != 0 or not done.stdout.strip():
        raise InputError(
            f"{tool}: finds no nextflow ({done.stderr.strip()}). Run `make setup` in {pipeline}."
        )
    return done.stdout.strip()


def last_session(outdir: str, environment: Mapping[str, str]) -> str | None:
    """Return the id of the last run from this folder that wrote `outdir`.

    `-resume` alone takes the last run of the folder, even one of another input.
    """
    history = Path(environment.get("NXF_CACHE_DIR") or ".nextflow") / "history"
    options = [f" --outdir {quote}{outdir}{quote} " for quote in ("", "'", '"')]
    lines = history.read_text(errors="replace").splitlines() if history.exists() else []
    for line in reversed(lines):
        fields = line.split("\t", HISTORY_FIELDS - 1)
        command = f"{fields[-1]} "
        if len(fields) == HISTORY_FIELDS and any(text in command for text in options):
            return fields[-2]
    return None


def has_results(outdir: str) -> bool:
    """Return whether a folder has anything besides pipeline_info.

    A run that was killed at its start leaves only that.
    """
    folder = Path(outdir)
    return folder.exists() and any(entry.name != "pipeline_info" for entry in os.scandir(folder))
