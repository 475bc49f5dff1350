"""Folders, shared memory and the locale."""

import getpass
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from virnucpro.health.finding import FAIL, OK, SKIP, WARN, Finding, Machine

GIB = 1 << 30
LEAST_FREE = GIB  # below it nothing runs
# What a run of some million reads leaves in work/, with the embeddings of its shards.
AMPLE_FREE = {"work": 20 * GIB, "cache": GIB, "tmp": 2 * GIB}
SHARED_MEMORY = Path("/dev/shm")
LEAST_SHARED = 64 << 20  # what docker gives by default
START_ENVIRONMENT = Path("/proc/self/environ")  # before Python mended the locale


def check_folders(machine: Machine) -> Iterator[Finding]:
    """Return whether there is room, and leave to write, where tasks write."""
    environment = machine.environment
    tmp = Path(environment.get("TMPDIR") or "/tmp")
    cache = tmp / f"virnucpro-{getpass.getuser()}"  # as tools/task_env.sh has it
    work = machine.launch / (environment.get("NXF_WORK") or "work")
    remedies = {
        "work": "Start in another folder, or give `-work-dir` to nextflow.",
        "cache": "Give a folder of yours on this machine's own disk as --cache_dir.",
        "tmp": "Set TMPDIR to another folder.",
    }
    for name, folder in (("work", work), ("cache", cache), ("tmp", tmp)):
        there = next(path for path in (folder, *folder.parents) if path.exists())
        free = shutil.disk_usage(there).free
        found = f"{folder}: {free / GIB:.1f} GiB free"
        if not os.access(there, os.W_OK | os.X_OK) or not there.is_dir():
            status, found = FAIL, f"{folder}: {there} is not yours to write"
        elif name == "cache" and there == folder and there.stat().st_uid != os.geteuid():
            status, found = FAIL, f"{folder}: is another user's, and compiled code in it is run"
        elif free < LEAST_FREE:
            status = FAIL
        else:
            status = OK if free >= AMPLE_FREE[name] else WARN
        yield Finding(f"folder {name}", status, found, "" if status == OK else remedies[name])


def check_shared_memory(machine: Machine) -> Finding:
    """Return whether processes can share memory."""
    remedy = "Give the container more: `--shm-size=1g`."
    if not SHARED_MEMORY.is_dir():
        return Finding("shared memory", WARN, f"there is no {SHARED_MEMORY}", remedy)
    free = shutil.disk_usage(SHARED_MEMORY).free
    found = f"{SHARED_MEMORY}: {free / GIB:.2f} GiB free"
    if free < LEAST_SHARED:
        return Finding("shared memory", WARN, found, remedy)
    return Finding("shared memory", OK, found)


def check_locale(machine: Machine) -> Finding:
    """Return whether Java, which believes the locale, can open names with any letter."""
    if not START_ENVIRONMENT.exists():
        return Finding("locale", SKIP, f"there is no {START_ENVIRONMENT} to tell")
    entries = START_ENVIRONMENT.read_bytes().decode(errors="replace").split("\0")
    given = dict(entry.split("=", 1) for entry in entries if "=" in entry)
    name = next((n for n in ("LC_ALL", "LC_CTYPE", "LANG") if given.get(n)), "")
    if name and given[name].lower().replace("-", "").endswith("utf8"):
        return Finding("locale", OK, f"{name}={given[name]}")
    found = f"{name}={given[name]} is not UTF-8" if name else "none is set"
    return Finding("locale", WARN, found, "Set LC_ALL=C.UTF-8, or rename files to plain letters.")
