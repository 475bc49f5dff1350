"""CSV and TSV sheets with a header: read, and their rows checked against a JSON schema."""

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from virnucpro.errors import InputError, excerpt
from virnucpro.json_schema import misfits

BLANKS = " \t\r\n\xa0\u200b\ufeff"  # around a cell: those of spreadsheets too


@dataclass(frozen=True)
class InputRequest:
    """What the pipeline asks of --input.

    Attributes:
        input: as the user gave it.
        matches: the files that it names, absolute; none for a sheet.
        paths: cell of the sheet, or match -> absolute path, of what is there.
        faults: the same -> why it cannot be read or staged, such as "is a folder".
        real_paths: the same -> path without links.
        interleaved: the files hold both mates of each pair.
        training_frames: of --workflow train, whose sheets list genomes; None: samples.
    """

    input: str
    matches: Sequence[str] = ()
    paths: Mapping[str, str] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)
    real_paths: Mapping[str, str] = field(default_factory=dict)
    interleaved: bool = False
    training_frames: str | None = None


@dataclass
class SheetSample:
    """A sample or genome, for SPLIT.

    Attributes:
        files: absolute paths, in sheet order.
        ends: a letter for each file: 0 single or BAM, 1 first mates, 2 second mates, i interleaved.
        columns: the sheet's further columns, and their cells.
    """

    id: str
    files: list[str]
    ends: str
    columns: dict[str, str]


@dataclass(frozen=True)
class Sheet:
    """A sheet's cells, without blanks around them, and what is wrong with its shape.

    Attributes:
        columns: in order.
        rows: column -> cell of each row that is not blank; a missing cell is "".
    """

    columns: list[str]
    rows: list[dict[str, str]]
    faults: list[str]


def read_sheet(path: Path, name: str) -> Sheet:
    """Read a sheet; it is tab-separated when its first line has a tab, else comma-separated.

    Args:
        name: of the sheet, for messages.
    Raises: InputError for a file that is not UTF-8 text, or has a quote that is not closed.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"--input {name}: is not UTF-8 text (byte {error.start}). Save it as UTF-8."
        ) from error
    separator = "\t" if "\t" in text.split("\n", 1)[0] else ","
    # newline="": a line ends at CR and LF alone, not at the other breaks that splitlines knows
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        lines = [[cell.strip(BLANKS) for cell in line] for line in reader]
    except csv.Error as error:
        raise InputError(
            f"--input {name}: line {reader.line_num}: {error}. Close the quote, or remove it."
        ) from error
    lines = [line for line in lines if any(line)]
    columns = lines[0] if lines else []
    faults = [f"more than one column is named {excerpt(name)}"
              for name, count in Counter(columns).items() if name and count > 1]  # fmt: skip
    faults += [
        f"column {number} has no name, but cells: {excerpt(', '.join(filter(None, cells)))}"
        for number, (name, *cells) in enumerate(zip_longest(*lines, fillvalue=""), start=1)
        if not name and number <= len(columns) and any(cells)
    ]
    if len(lines) < 2:
        faults.append("the sheet has no rows")
    # a comma too many would put cells under wrong columns in silence
    faults += [
        f"row {number} ({excerpt(line[0])}): {len(line)} cells, but {len(columns)} columns. Put a "
        "cell with a comma in double quotes"
        for number, line in enumerate(lines[1:], start=1)
        if any(line[len(columns) :])
    ]
    rows = [dict(zip(columns, line + [""] * len(columns))) for line in lines[1:]]  # noqa: B905
    return Sheet(columns, rows, faults)


def row_faults(row: Mapping[str, str], schema: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the cells of a row; an empty cell counts as absent."""
    cells = {column: cell for column, cell in row.items() if column and cell}
    return [
        f"the column {place} is empty"
        if cause == "missing"
        else f"{place} '{excerpt(cells[place])}' {cause}"
        for place, cause in misfits(schema["items"], cells)
    ]


def path_fault(request: InputRequest, cell: str) -> str:
    """Return why the file that a cell names cannot be used, or ""."""
    if cell not in request.paths and cell not in request.matches:
        cell = excerpt(cell, 200)
        if cell.startswith("~"):
            return f"{cell}: only a shell expands '~'. Write the path in full"
        return f"{cell} is neither beside the sheet nor in the launch folder"
    return f"{cell} {request.faults[cell]}" if cell in request.faults else ""
