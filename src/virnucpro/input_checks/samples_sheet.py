"""--input as a list of samples, or at once all that is wrong with it.

How samples are named is here, what a cell may contain in assets/schema_input.json.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from virnucpro.errors import InputError, excerpt
from virnucpro.input_checks.sheet import (
    InputRequest,
    Sheet,
    SheetSample,
    path_fault,
    read_sheet,
    row_faults,
)

COLUMNS = ("sample", "input", "input_2")
RESERVED_NAMES = ("summary.tsv", "pipeline_info", "versions.yml")  # beside the samples' folders
MATES_COLUMN = re.compile(r"(input|fastq|mates?|reads?|r)_?-?2", re.IGNORECASE)
COMPRESSED = re.compile(r"\.(gz|bz2|xz|zst)$", re.IGNORECASE)
BREAKS = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")  # that a reader of summary.tsv may split at
NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]")
SEQUENCES = re.compile(r"\.(fa|fas|fasta|fna|ffn|fq|fastq|bam)$", re.IGNORECASE)


def check_samples(
    request: InputRequest, sheet: Path | None, schema: Mapping[str, Any]
) -> list[SheetSample]:
    """Return the samples, in order.

    Args:
        sheet: where the task reads --input, when that is a sheet.
    Raises: InputError with everything that is wrong, a line each.
    """
    where = f"--input {request.input}"
    if sheet:
        samples, faults = _samples_of_sheet(read_sheet(sheet, request.input), request, schema)
    else:
        samples, faults = _samples_of_files(request, schema)
    faults += _name_faults(samples)
    if faults:
        raise InputError("\n  ".join([f"{where}:", *faults]))
    return samples


def _samples_of_files(
    request: InputRequest, schema: Mapping[str, Any]
) -> tuple[list[SheetSample], list[str]]:
    """Return a sample for each file given directly, named after it."""
    if not request.matches:
        raise InputError(
            f"--input {request.input}: no such file, and no file matches it as a pattern."
        )
    samples, faults = [], []
    for path in request.matches:
        name = PurePosixPath(path).name
        if fault := path_fault(request, path):
            faults.append(f"{fault}. Give a samplesheet, a file, or a quoted glob: 'reads/*.fa.gz'")
        stem = SEQUENCES.sub("", COMPRESSED.sub("", name))
        sample = SheetSample(NOT_IN_NAMES.sub("_", stem), [path], "0", {})
        faults += [
            f"{name}: {fault}. Name it in a samplesheet"
            for fault in row_faults({"sample": sample.id, "input": path}, schema)
        ]
        samples.append(sample)
    return samples, faults


def _samples_of_sheet(
    sheet: Sheet, request: InputRequest, schema: Mapping[str, Any]
) -> tuple[list[SheetSample], list[str]]:
    if missing := [name for name in COLUMNS[:2] if name not in sheet.columns]:
        raise InputError(
            f"--input {request.input}: a samplesheet's first line names the columns sample and "
            "input (and input_2 for mates), separated by commas or tabs; this one has no "
            f"{' and no '.join(missing)}: {excerpt(', '.join(sheet.columns), 200)}"
        )
    faults = [
        *sheet.faults,
        *(f"column {name}: the column of second mates must be input_2"
          for name in sheet.columns if MATES_COLUMN.fullmatch(name) and name != "input_2"),
    ]  # fmt: skip
    samples: dict[str, SheetSample] = {}
    real_paths: dict[str, set[str]] = defaultdict(set)  # of a sample
    for number, row in enumerate(sheet.rows, start=1):
        where = f"row {number} ({excerpt(row['sample']) or 'no sample'}): "
        faults += [where + fault for fault in row_faults(row, schema)]
        sample = samples.setdefault(row["sample"], SheetSample(row["sample"], [], "", {}))
        for cell in filter(None, (row["input"], row.get("input_2"))):
            path = request.paths.get(cell, "")
            if fault := path_fault(request, cell):
                faults.append(where + fault)
            elif (real_path := request.real_paths.get(cell, path)) in real_paths[sample.id]:
                faults.append(f"{where}{PurePosixPath(path).name} is twice in this sample")
            else:
                real_paths[sample.id].add(real_path)
            sample.files.append(path)
        sample.ends += "12" if row.get("input_2") else "0"
        _add_columns(sample, {name: cell for name, cell in row.items() if name not in COLUMNS})
    return list(samples.values()), faults


def _add_columns(sample: SheetSample, cells: Mapping[str, str]) -> None:
    """Put the cells of several rows of a sample side by side, each value once."""
    for name, cell in cells.items():
        values = [value for value in sample.columns.get(name, "").split(";") if value]
        cell = BREAKS.sub(" ", cell)
        sample.columns[name] = ";".join(values if cell in ("", *values) else [*values, cell])


def _name_faults(samples: Sequence[SheetSample]) -> list[str]:
    faults = [
        f"sample '{name}': needs another name, which a file of the run has"
        for name in RESERVED_NAMES
        if any(sample.id == name for sample in samples)
    ]
    counts = Counter(sample.id.lower() for sample in samples)
    return faults + [
        f"more than one file would be the sample '{excerpt(name)}'. Name them in a samplesheet"
        for name, count in counts.items()
        if count > 1
    ]
