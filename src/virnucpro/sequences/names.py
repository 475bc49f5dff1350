"""Ids out of the names of sequences, which no reader of our files takes for something else.

    =1+1       a formula, to a spreadsheet                        ->  _=1+1
    track_7    a comment, to readers of BED and GFF3              ->  _track_7
    a"b        the begin of a quoted cell, to some CSV readers    ->  a_b
    é1         not ASCII, as many tools want FASTA                ->  _1

A table has the name beside the id, percent-encoded where it would do harm there too.
"""

import re
from urllib.parse import unquote

from virnucpro.errors import excerpt

# HDF5 files hold ids of one width, that of the longest: 10^5 frames of such a name take 100 MB.
MAX_LETTERS = 1000
# Not at the beginning: what spreadsheets compute, and what bedtools, IGV or UCSC skip as a header:
# #, !, >, "track", "browser" and "visibility" in front, and the whole words "chr" and "chrom".
SAFE_ID = re.compile(
    rf"(?![=+@#!>-]|track|browser|visibility|chr(?:om)?\Z)[!#-~]{{1,{MAX_LETTERS}}}"
)
UNSAFE_LETTER = re.compile("[^!#-~]")  # other than visible ASCII, and the double quote
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
FORMULA = ("=", "+", "-", "@")
# Not in a cell: a formula's beginning, and a % that would be decoded.
UNSAFE_IN_CELL = re.compile(r'[^ -~]|"|%(?=[0-9A-Fa-f]{2})|\A[=+@-]')


def safe_id(name: str) -> str:
    """Return a name with `_` for each letter that could do harm, and in front of such a beginning.

    Most names stay as they are. Other names may become the same.
    """
    if SAFE_ID.fullmatch(name):
        return name
    text = UNSAFE_LETTER.sub("_", _as_utf8(name))
    return text if SAFE_ID.fullmatch(text) else f"_{text}"


def name_fault(name: str) -> str:
    """Return why a sequence cannot be called so, or ""."""
    name = _as_utf8(name)
    if control := CONTROL.search(name):
        return (
            f"its name {excerpt(name)} has the control character {ascii(control[0])}. The file is "
            "damaged, or was not made by a sequence program: remove it from the name."
        )
    if len(name) > MAX_LETTERS:
        return (
            f"its name {excerpt(name)} has {len(name)} letters, more than {MAX_LETTERS}. Shorten "
            "it, or break the line where the sequence begins."
        )
    return ""


def encode_cell(text: str) -> str:
    """Return a name for a cell of a table: the bytes of its unsafe letters percent-encoded."""
    is_plain = text.isascii() and text.isprintable() and not ('"' in text or "%" in text)
    if is_plain and not text.startswith(FORMULA):  # nearly all: a fifth of the time
        return text
    return UNSAFE_IN_CELL.sub(_percent, text)


def decode_cell(cell: str) -> str:
    """Return the name that encode_cell wrote."""
    return unquote(cell, errors="surrogateescape") if "%" in cell else cell


def _as_utf8(name: str) -> str:
    """Return a name whose bytes beyond ASCII, kept as surrogates, are letters where they can be."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")


def _percent(letter: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in letter[0].encode("utf-8", "surrogateescape"))
