"""The records of FASTA."""

from collections.abc import Iterator
from pathlib import Path

from virnucpro.sequences.decompression import open_decompressed
from virnucpro.sequences.text_lines import (
    GROUP_SEPARATOR,
    RecordError,
    first_word,
    join_lines,
    separators_dropped,
    skip_byte_order_mark,
    text_lines,
)

GAPS = ("-", ".")


def fasta_records(path: Path, warnings: list[str]) -> Iterator[tuple[str, str]]:
    """Yield (id, sequence) in file order. Lines that begin with # or ; are comments.

    A line `--` before a header or at the end, as grep -A writes it, is not sequence. In a sequence
    with gaps on its other lines it is: the end of a line-wrapped alignment.

    Raises: RecordError for text before the first header, and as first_word.
    """
    name: str | None = None
    lines: list[str] = []
    num_separators = 0
    with open_decompressed(path, warnings) as stream:
        skip_byte_order_mark(stream)
        for number, line in enumerate(text_lines(stream), start=1):
            line = line.strip()
            if not line:
                continue
            first = line[0]
            if first == ">":
                num_separators += _drop_separators(lines)
                if name is not None:
                    yield name, join_lines(lines)
                name, lines = first_word(line[1:]), []
            elif first not in "#;":
                lines.append(line)
                if name is None and line != GROUP_SEPARATOR:
                    raise RecordError(
                        f"line {number} ({line[:20]!r}) comes before the first header line, which "
                        "begins with '>'. Give FASTA, FASTQ or BAM."
                    )
    num_separators += _drop_separators(lines)
    if name is not None:
        yield name, join_lines(lines)
    if num_separators:
        warnings.append(separators_dropped(path.name, num_separators))


def _drop_separators(lines: list[str]) -> int:
    """Remove the lines `--` at the end of a record; return how many."""
    number = 0
    while lines and lines[-1] == GROUP_SEPARATOR:
        lines.pop()
        number += 1
    if number and any(gap in line for line in lines for gap in GAPS):
        lines += [GROUP_SEPARATOR] * number
        return 0
    return number
