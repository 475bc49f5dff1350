"""The columns of a samplesheet that name files, and those that only seem to."""

import re
from collections.abc import Mapping

from virnucpro.errors import InputError, excerpt
from virnucpro.input_checks.file_pairs import is_sequence_name
from virnucpro.input_checks.sheet import InputRequest, Sheet

# our columns of files -> those of nf-core's sheets that mean the same
SYNONYMS = {"input": ("fastq_1", "fasta"), "input_2": ("fastq_2",)}
FILE_COLUMNS = [name for column, others in SYNONYMS.items() for name in (column, *others)]
# Column names, without blanks and punctuation, that mean second mates: r2, reads2, fastqreverse.
FILE_WORDS = (
    "(?:in|inputs?|fastqs?|fastas?|fq|fa|files?|filenames?|paths?|mates?|reads?|pairs?|pe|ends?"
    "|short|raw|r)"
)
MATES_COLUMN = re.compile(
    rf"{FILE_WORDS}*(2|reverse){FILE_WORDS}*|mates?(files?|paths?)?"
    rf"|{FILE_WORDS}+(2nd|second|rev|right)|(2nd|second|rev|right){FILE_WORDS}+"
)


def check_columns(sheet: Sheet, request: InputRequest) -> None:
    """Check that a sheet has samples and files.

    Raises: InputError when it does not.
    """
    missing = [] if "sample" in sheet.columns else ["sample"]
    missing += [] if {"input", *SYNONYMS["input"]} & set(sheet.columns) else ["input"]
    if missing:
        raise InputError(
            f"--input {request.input}: a samplesheet's first line names the columns sample and "
            "input (and input_2 for mates), or as in nf-core sample and fastq_1 (and fastq_2) or "
            "fasta, separated by commas or tabs; this one has no "
            f"{' and no '.join(missing)}: {excerpt(', '.join(sheet.columns), 200)}"
        )


def file_cells(row: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return a row with its files under input and input_2, and what is wrong with that."""
    files, faults = {}, []
    for column, others in SYNONYMS.items():
        filled = [name for name in (column, *others) if row.get(name)]
        files[column] = row[filled[0]] if filled else ""
        if filled[1:]:
            faults.append(f"{' and '.join(filled)} mean the same: fill one of them")
        if column == "input" and not filled:
            known = [name for name in (column, *others) if name in row]
            faults.append(f"the column {' or '.join(known)} is empty")
    if row.get("fasta") and files["input_2"]:
        faults.append("fasta has no second mates: put the first ones under fastq_1")
    other_cells = {name: cell for name, cell in row.items() if name not in FILE_COLUMNS}
    return other_cells | files, faults


def unread_columns(sheet: Sheet, request: InputRequest) -> list[str]:
    """Return a fault for each column that would be copied, but seems to name files to be read."""
    faults = []
    for name in sheet.columns:
        if not name or name in ("sample", *FILE_COLUMNS):
            continue
        files = [
            row[name]
            for row in sheet.rows
            if request.paths.get(row[name], "").startswith("/") and is_sequence_name(row[name])
        ]
        if MATES_COLUMN.fullmatch(re.sub(r"[\W_]", "", name).lower()):
            faults.append(f"column {excerpt(name)}: the column of second mates must be input_2")
        elif files:
            faults.append(
                f"column {excerpt(name)}: names sequence files ({files[0]}), but is not read. "
                "Second mates go under input_2, other files into rows of their own; or remove "
                "the column"
            )
    return faults
