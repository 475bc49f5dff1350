"""Python, the packages and the library itself."""

import platform
import re
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import virnucpro
from virnucpro.health.finding import FAIL, OK, SKIP, WARN, Finding, Machine

FIRST_PYTHON = (3, 10)
GPU_PACKAGES = ("torch", "tokenizers")
SETUP = "Run `make setup` in the checkout, or use an image of `make images`."
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;]+)", re.MULTILINE)


def check_python(machine: Machine) -> Finding:
    """Return whether this Python is new enough."""
    found = f"{platform.python_version()} ({sys.executable})"
    if sys.version_info < FIRST_PYTHON:
        return Finding("python", FAIL, found, "Install Python 3.10 or newer, then `make setup`.")
    return Finding("python", OK, found)


def check_packages(machine: Machine) -> Finding:
    """Compare the installed packages with the locked ones."""
    needed = [text for text in requires("virnucpro") or [] if "extra ==" not in text]
    missing = [name for text in needed if installed(name := _name(text)) is None]
    if missing:
        return Finding("packages", FAIL, f"{', '.join(missing)} not installed", SETUP)
    if machine.pipeline is None:
        return Finding("packages", SKIP, "no checkout here whose locked versions could be compared")
    has_torch = installed("torch") is not None
    lock = machine.pipeline / "containers" / ("gpu" if has_torch else "cpu") / "requirements.txt"
    pins = locked_versions(lock.read_text())
    found = {name: own for name in pins if (own := installed(name)) is not None}
    others = [
        f"{name} {own} (locked: {' or '.join(sorted(pins[name]))})"
        for name, own in found.items()
        if own.split("+")[0] not in pins[name]
    ]
    if others:
        return Finding("packages", WARN, f"not the locked ones: {', '.join(others)}", SETUP)
    lacking = [name for name in GPU_PACKAGES if installed(name) is None]
    if lacking and has_torch:
        return Finding("packages", FAIL, f"{', '.join(lacking)} not installed", SETUP)
    kind = "with torch" if has_torch else "those of the CPU image"
    return Finding("packages", OK, f"{len(found)} as locked, {kind}")


def check_library(machine: Machine) -> Finding:
    """Compare the installed library with that of the checkout, which tasks insist on."""
    own = Path(virnucpro.__file__).resolve().parent
    if machine.pipeline is None:
        remedy = "Give the folder of the pipeline as --pipeline to compare with it."
        return Finding("library", SKIP, f"virnucpro {version('virnucpro')} at {own}", remedy)
    theirs = (machine.pipeline / "src/virnucpro").resolve()
    if own == theirs:
        return Finding(
            "library", OK, f"virnucpro {version('virnucpro')}, that of {theirs.parents[1]}"
        )
    files = {path.relative_to(root) for root in (own, theirs) for path in root.rglob("*.py")}
    changed = [path for path in files if _bytes(own / path) != _bytes(theirs / path)]
    if changed:
        found = f"{own} differs from {theirs} in {len(changed)} files ({min(changed)})"
        return Finding("library", FAIL, found, f"Tasks would refuse it. {SETUP}")
    return Finding(
        "library", OK, f"virnucpro {version('virnucpro')} at {own}, the same as {theirs}"
    )


def locked_versions(text: str) -> dict[str, set[str]]:
    """Return package -> versions of a requirements.txt; several, for several Pythons."""
    pins: dict[str, set[str]] = {}
    for name, number in PIN.findall(text):
        pins.setdefault(name, set()).add(number)
    return pins


def installed(name: str) -> str | None:
    """Return the installed version of a package."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _name(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None
