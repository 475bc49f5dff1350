"""Folders, shared memory and the locale."""

import getpass
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from virnucpro.health.check_result import FAIL, OK, SKIP, WARN, CheckResult, Machine

GIB = 1 << 30
MIN_FREE = GIB  # below it nothing runs
# A run of some million reads leaves so much in work/, with the embeddings of its shards.
AMPLE_FREE = {"work": 20 * GIB, "cache": GIB, "tmp": 2 * GIB}
SHARED_MEMORY = Path("/dev/shm")
MIN_SHARED = 64 << 20  # docker's default
START_ENVIRONMENT = Path("/proc/self/environ")  # before Python coerced the locale


def check_folders(machine: Machine) -> Iterator[CheckResult]:
    """Return whether tasks have space and permission where they write."""
    environment = machine.environment
    tmp = Path(environment.get("TMPDIR") or "/tmp")
    cache = tmp / f"virnucpro-{getpass.getuser()}"  # as in tools/task_env.sh
    work = machine.launch / (environment.get("NXF_WORK") or "work")
    remedies = {
        "work": "Start in another folder, or give `-work-dir` to nextflow.",
        "cache": "Give a folder of yours on this machine's own disk as --cache_dir.",
        "tmp": "Set TMPDIR to another folder.",
    }
    for name, folder in (("work", work), ("cache", cache), ("tmp", tmp)):
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        free = shutil.disk_usage(existing).free
        found = f"{folder}: {free / GIB:.1f} GiB free"
        if not os.access(existing, os.W_OK | os.X_OK) or not existing.is_dir():
            status, found = FAIL, f"{folder}: {existing} is not writable"
        elif name == "cache" and existing == folder and existing.stat().st_uid != os.geteuid():
            status, found = FAIL, f"{folder}: belongs to another user, and its compiled code is run"
        elif free < MIN_FREE:
            status = FAIL
        else:
            status = OK if free >= AMPLE_FREE[name] else WARN
        yield CheckResult(f"folder {name}", status, found, "" if status == OK else remedies[name])


def check_shared_memory(machine: Machine) -> CheckResult:
    """Return whether processes can share memory."""
    remedy = "Give the container more: `--shm-size=1g`."
    if not SHARED_MEMORY.is_dir():
        return CheckResult("shared memory", WARN, f"there is no {SHARED_MEMORY}", remedy)
    free = shutil.disk_usage(SHARED_MEMORY).free
    found = f"{SHARED_MEMORY}: {free / GIB:.2f} GiB free"
    if free < MIN_SHARED:
        return CheckResult("shared memory", WARN, found, remedy)
    return CheckResult("shared memory", OK, found)


def check_locale(machine: Machine) -> CheckResult:
    """Return whether the locale lets Java open file names with any letter."""
    if not START_ENVIRONMENT.exists():
        return CheckResult("locale", SKIP, f"there is no {START_ENVIRONMENT} to read it from")
    entries = START_ENVIRONMENT.read_bytes().decode(errors="replace").split("\0")
    variables = dict(entry.split("=", 1) for entry in entries if "=" in entry)
    name = next((n for n in ("LC_ALL", "LC_CTYPE", "LANG") if variables.get(n)), "")
    if name and variables[name].lower().replace("-", "").endswith("utf8"):
        return CheckResult("locale", OK, f"{name}={variables[name]}")
    found = f"{name}={variables[name]} is not UTF-8" if name else "none is set"
    return CheckResult(
        "locale", WARN, found, "Set LC_ALL=C.UTF-8, or rename files to plain letters."
    )
