"""What the readers of FASTA and FASTQ share."""

import io
import re
from collections.abc import Sequence

BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # of UTF-8, as Windows editors write it
GROUP_SEPARATOR = "--"  # grep -A and -B write it between groups of lines
BEYOND_ASCII = "has letters beyond ASCII. Sequences must be plain ASCII: replace the other letters."
# ASCII blanks end a name. Biopython cuts at other controls too: a name with one is refused.
FIRST_WORD = re.compile(r"\s*(\S*)", re.ASCII)
NUL_BYTES = "has NUL bytes, as a file has whose copy failed. Copy the file again."


class RecordError(Exception):
    """What is wrong with the record that follows the last one read, and the remedy."""


def text_lines(stream: io.BufferedReader, newline: str | None = None) -> io.TextIOWrapper:
    """Return the lines of a text; bytes beyond ASCII, which a description may have, as surrogates.

    Args:
        newline: as for open(); None takes LF, CRLF and CR.
    """
    return io.TextIOWrapper(stream, "ascii", "surrogateescape", newline)


def skip_byte_order_mark(stream: io.BufferedReader) -> None:
    """Read the mark, if the stream starts with it."""
    if stream.peek(len(BYTE_ORDER_MARK)).startswith(BYTE_ORDER_MARK):
        stream.read(len(BYTE_ORDER_MARK))


def first_word(header: str) -> str:
    """Return the id in a header, up to the first blank; the rest is a description.

    Raises: RecordError for NUL bytes, which may stand for records.
    """
    if header.isprintable():  # nearly always; a quarter of the time
        return (header.split(None, 1) or [""])[0]
    if "\0" in header:
        raise RecordError(NUL_BYTES)
    match = FIRST_WORD.match(header)
    assert match, "it matches any text"
    return match[1]


def join_lines(lines: Sequence[str]) -> str:
    """Return the sequence on these lines without blanks, as Biopython and so the original did."""
    return "".join("".join(lines).split())


def separators_dropped(file_name: str, number: int) -> str:
    """Return the warning about GROUP_SEPARATOR."""
    return (
        f"{file_name}: {number} {'line' if number == 1 else 'lines'} '--' between records, as grep "
        "-A writes, dropped. Check that the file has what you want: grep --no-group-separator."
    )
