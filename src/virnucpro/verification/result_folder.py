"""A whole result: summary.tsv, the folder of each of its samples, and what else lies there."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from virnucpro.calls.manifest import MANIFEST_FILE
from virnucpro.errors import InputError
from virnucpro.verification.sample_folder import content_faults, file_faults

SUMMARY_FILE, MODEL_SET_FILE = "summary.tsv", "pipeline_info/model_set.json"
NEEDED_COLUMNS = ("sample", "sequences", "chunks", "frames", "model_set_digest", "status", "reason")
DONE = "done"


class Finding(NamedTuple):
    """One line of the report: of a sample, or of a file of the run.

    Attributes:
        faults: what is wrong; empty: nothing.
        summary: row of summary.tsv; empty without one.
    """

    name: str
    faults: list[str]
    summary: dict[str, str]


def verify(outdir: Path) -> Iterator[Finding]:
    """Yield what is found, sample by sample in the order of summary.tsv.

    Raises: InputError when the folder is not a result.
    """
    parts = (outdir / SUMMARY_FILE, outdir / MODEL_SET_FILE)
    folders = _sample_folders(outdir) if outdir.is_dir() else []
    if not folders and not any(part.exists() for part in parts):
        raise InputError(
            f"{outdir}: is not a result folder: it has neither {SUMMARY_FILE} nor the folder of a "
            "sample. Give the --outdir of a run."
        )
    rows, faults = _read_summary(parts[0])
    yield Finding(SUMMARY_FILE, faults, {})
    of_run, run_faults = _read_json(parts[1])
    digests = {row["model_set_digest"] for row in rows if row.get("model_set_digest")}
    if of_run and digests - {of_run.get("model_set_digest")}:
        run_faults.append(
            f"model_set_digest is {of_run.get('model_set_digest')}, that of {SUMMARY_FILE} "
            f"{', '.join(sorted(digests))}"
        )
    yield Finding(MODEL_SET_FILE, run_faults, {})
    for row in rows:
        yield Finding(row["sample"], _sample_faults(outdir, row, of_run), row)
    known = {row["sample"] for row in rows}
    for folder in folders:
        if folder.name not in known:
            yield Finding(
                folder.name, [f"is not in {SUMMARY_FILE}: the folder is of another run"], {}
            )


def _sample_faults(outdir: Path, row: dict[str, str], of_run: dict[str, Any]) -> list[str]:
    if row.get("status") != DONE:
        reason = f": {row['reason']}" if row.get("reason") else ""
        return [f"status is {row.get('status') or 'empty'}{reason}"]
    folder = outdir / row["sample"]
    if not folder.is_dir():
        return ["its folder is missing"]
    # damaged files are not read any further
    return list(file_faults(folder)) or list(content_faults(folder, row, of_run))


def _read_summary(path: Path) -> tuple[list[dict[str, str]], list[str]]:
    """Return the rows of summary.tsv, and what is wrong with it."""
    try:
        with path.open(newline="", encoding="utf-8") as text:
            lines = text.read().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        return [], [f"cannot be read ({error})"]
    if lines.pop():
        return [], ["its last line is cut short"]
    rows = [line.split("\t") for line in lines]
    missing = [name for name in NEEDED_COLUMNS if not rows or name not in rows[0]]
    if missing:
        return [], [f"has no column {', '.join(missing)}: it is damaged, or of an older version"]
    if any(len(row) != len(rows[0]) for row in rows):
        return [], ["has rows of different lengths"]
    table = [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
    occurrences = Counter(row["sample"] for row in table)
    faults = [f"has sample {name} {n} times" for name, n in occurrences.items() if n > 1]
    return table, faults or ([] if table else ["has no sample"])


def _read_json(path: Path) -> tuple[dict[str, Any], list[str]]:
    try:
        content = json.loads(path.read_bytes())
        return (content, []) if isinstance(content, dict) else ({}, ["is malformed"])
    except FileNotFoundError:
        return {}, ["is missing"]
    except (OSError, ValueError) as error:
        return {}, [f"cannot be read ({error})"]


def _sample_folders(outdir: Path) -> list[Path]:
    """Return the folders that this pipeline made for samples."""
    return [
        folder
        for folder in sorted(outdir.iterdir())
        if not folder.name.startswith(".")
        and folder.is_dir()
        and any((folder / name).exists() for name in (MANIFEST_FILE, "provenance.json"))
    ]
