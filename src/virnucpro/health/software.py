"""Python, the packages and the library itself."""

import platform
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

import virnucpro
from virnucpro.health.check_result import FAIL, OK, SKIP, WARN, CheckResult, Machine

MIN_PYTHON = (3, 10)
SETUP = "Run `make setup` in the checkout, or use an image of `make images`."


def check_python(machine: Machine) -> CheckResult:
    """Return whether this Python is new enough."""
    found = f"{platform.python_version()} ({sys.executable})"
    if sys.version_info < MIN_PYTHON:
        return CheckResult(
            "python", FAIL, found, "Install Python 3.10 or newer, then `make setup`."
        )
    return CheckResult("python", OK, found)


def check_packages(machine: Machine) -> CheckResult:
    """Compare the installed packages with the locked ones."""
    kind = "gpu" if installed_version("torch") else "cpu"
    missing = [
        package.name
        for package in needed_here(requires("virnucpro") or [], extra=kind)
        if installed_version(package.name) is None
    ]
    if missing:
        return CheckResult("packages", FAIL, f"{', '.join(missing)} not installed", SETUP)
    if machine.pipeline is None:
        return CheckResult("packages", SKIP, "there is no checkout whose lock could be compared")
    lock = machine.pipeline / "containers" / kind / "requirements.txt"
    locked = locked_versions(lock.read_text())
    installed = {name: number for name in locked if (number := installed_version(name))}
    others = [
        f"{name} {number} (locked: {locked[name]})"
        for name, number in installed.items()
        if number.split("+")[0] != locked[name]
    ]
    if others:
        return CheckResult("packages", WARN, f"not the locked ones: {', '.join(others)}", SETUP)
    return CheckResult("packages", OK, f"{len(installed)} as locked, those of the {kind} image")


def check_installed_library(machine: Machine) -> CheckResult:
    """Compare the installed library with that of the checkout: tasks refuse another one."""
    installed = Path(virnucpro.__file__).resolve().parent
    name = f"virnucpro {version('virnucpro')} at {installed}"
    if machine.pipeline is None:
        remedy = "Give the folder of the pipeline as --pipeline to compare with it."
        return CheckResult("library", SKIP, name, remedy)
    checkout = (machine.pipeline / "src/virnucpro").resolve()
    if installed == checkout:
        return CheckResult("library", OK, f"{name}, which is the checkout's")
    files = {
        path.relative_to(root) for root in (installed, checkout) for path in root.rglob("*.py")
    }
    changed = [path for path in files if _bytes(installed / path) != _bytes(checkout / path)]
    if changed:
        found = f"{installed} differs from {checkout} in {len(changed)} files ({min(changed)})"
        return CheckResult("library", FAIL, found, f"Tasks would refuse it. {SETUP}")
    return CheckResult("library", OK, f"{name}, the same as {checkout}")


def needed_here(requirements: Iterable[str], extra: str = "") -> list[Requirement]:
    """Return the requirements whose markers hold for this Python, platform and extra."""
    parsed = map(Requirement, requirements)
    return [r for r in parsed if r.marker is None or r.marker.evaluate({"extra": extra})]


def locked_versions(lock: str) -> dict[str, str]:
    """Return package -> version that a requirements.txt locks for this Python and platform."""
    lines = [line for line in lock.splitlines() if line[:1].isalnum()]  # not a comment
    return {r.name: str(r.specifier).removeprefix("==") for r in needed_here(lines)}


def installed_version(package: str) -> str | None:
    """Return the installed version of a package, None without one."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None
