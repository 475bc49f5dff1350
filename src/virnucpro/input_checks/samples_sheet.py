"""--input as a list of samples, or at once all that is wrong with it.

How samples are named is here, what a cell may contain in assets/schema_input.json.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from virnucpro.errors import InputError, excerpt
from virnucpro.input_checks.file_columns import SYNONYMS, check_columns, file_cells, unread_columns
from virnucpro.input_checks.file_pairs import pair_files, second_mates, stem
from virnucpro.input_checks.sheet import (
    InputRequest,
    Sheet,
    SheetSample,
    path_fault,
    read_sheet,
    row_faults,
)

RESERVED_NAMES = ("summary.tsv", "pipeline_info", "versions.yml")  # beside the samples' folders
BREAKS = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")  # that a reader of summary.tsv may split at
NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]")


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
    if request.interleaved:
        faults += [
            f"sample '{sample.id}': --interleaved is for files that hold both mates, but this has "
            "second mates in a file of their own. Run such samples without --interleaved"
            for sample in samples
            if "2" in sample.ends
        ]
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
    groups, faults = pair_files(request.input, request.matches)
    samples = []
    for common, paths in groups:
        name = PurePosixPath(paths[0]).name
        for path in paths:
            if fault := path_fault(request, path):
                faults.append(
                    f"{fault}. Give a samplesheet, a file, or a quoted glob: 'reads/*.fa.gz'"
                )
        if len({request.real_paths.get(path, path) for path in paths}) < len(paths):
            faults.append(f"{name} and its mate are the same file")
        sample = SheetSample(
            NOT_IN_NAMES.sub("_", common or stem(name)), paths, _ends(request, paths), {}
        )
        faults += [
            f"{name}: {fault}. Name it in a samplesheet"
            for fault in row_faults({"sample": sample.id, "input": paths[0]}, schema)
        ]
        samples.append(sample)
    return samples, faults


def _ends(request: InputRequest, paths: Sequence[str]) -> str:
    """Return the letters of a file, or of two files of mates."""
    return "12" if len(paths) == 2 else "i" if request.interleaved else "0"


def _samples_of_sheet(
    sheet: Sheet, request: InputRequest, schema: Mapping[str, Any]
) -> tuple[list[SheetSample], list[str]]:
    check_columns(sheet, request)
    faults = [*sheet.faults, *unread_columns(sheet, request)]
    faults += [f"column '{excerpt(name)}': has a line break or a tab in its name"
               for name in sheet.columns if BREAKS.search(name)]  # fmt: skip
    samples: dict[str, SheetSample] = {}
    real_paths: dict[str, set[str]] = defaultdict(set)  # of a sample
    for number, cells in enumerate(sheet.rows, start=1):
        row, row_of_files = file_cells(cells)
        where = f"row {number} ({excerpt(row['sample']) or 'no sample'}): "
        faults += [where + fault for fault in row_of_files + row_faults(row, schema)]
        sample = samples.setdefault(row["sample"], SheetSample(row["sample"], [], "", {}))
        files = [row[name] for name in SYNONYMS if row[name]]
        for cell in files:
            path = request.paths.get(cell, "")
            if fault := path_fault(request, cell):
                faults.append(where + fault)
            elif (real_path := request.real_paths.get(cell, path)) in real_paths[sample.id]:
                faults.append(f"{where}{PurePosixPath(path).name} is twice in this sample")
            else:
                real_paths[sample.id].add(real_path)
            sample.files.append(path)
        if row["input_2"] and second_mates(row["input_2"]) == row["input"]:
            faults.append(
                f"{where}{row['input']} is called like second mates and {row['input_2']} like "
                "first ones: exchange them"
            )
        sample.ends += _ends(request, files)
        _add_columns(sample, {name: row[name] for name in row if name not in ("sample", *SYNONYMS)})
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
