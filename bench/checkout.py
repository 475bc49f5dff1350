"""The checkout that is measured."""

import subprocess
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]


def commit() -> str:
    """Return its commit, marked where files differ from it."""
    return subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=PROJECT, check=True, stdout=subprocess.PIPE, text=True,
    ).stdout.strip()  # fmt: skip
