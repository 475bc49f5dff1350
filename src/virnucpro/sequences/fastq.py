"""The records of FASTQ: by dnaio with four lines a record, else by a reader of other forms."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import dnaio

from virnucpro.sequences.decompression import open_decompressed
from virnucpro.sequences.text_lines import (
    GROUP_SEPARATOR,
    NUL_BYTES,
    RecordError,
    first_word,
    join_lines,
    separators_dropped,
    skip_byte_order_mark,
    text_lines,
)

LINES_PER_RECORD = 4
CUT = "The file is cut short: copy or make it again."


def fastq_records(path: Path, warnings: list[str]) -> Iterator[tuple[str, str]]:
    """Yield (id, sequence) in file order.

    Raises: RecordError for a record that is not complete.
    """
    reader = None
    new_warnings: list[str] = []
    with open_decompressed(path, new_warnings) as stream:
        skip_byte_order_mark(stream)
        try:
            reader = dnaio.FastqReader(stream)
            for record in reader:
                yield first_word(record.name), "".join(record.sequence.split())
        except dnaio.FileFormatError:
            is_complete = False
        else:
            is_complete = True
    if not is_complete:
        # what dnaio has read had four lines a record, ending in LF
        num_read = reader.number_of_records if reader else 0
        new_warnings.clear()
        with open_decompressed(path, new_warnings) as stream:
            skip_byte_order_mark(stream)
            has_lf = num_read or b"\n" in stream.peek()
            lines = text_lines(stream, "\n" if has_lf else "\r")
            for _ in islice(lines, num_read * LINES_PER_RECORD):
                pass
            yield from wrapped_records(lines, path.name, new_warnings)
    warnings += new_warnings


def wrapped_records(
    lines: Iterator[str], file_name: str, warnings: list[str]
) -> Iterator[tuple[str, str]]:
    """Yield (id, sequence) of records with any number of lines and with blank lines between them.

    Qualities end where they are as many as the letters, since a line of them may begin with @ or +.
    """
    num_separators = 0
    lines = _stripped(lines)
    for line in lines:
        if not line:
            continue
        if line == GROUP_SEPARATOR:
            num_separators += 1
            continue
        if line[0] != "@":
            raise RecordError(_not_a_header(line))
        name = first_word(line[1:])
        sequence_lines = _sequence_lines(lines, name)
        sequence = join_lines(sequence_lines)
        _skip_qualities(lines, name, len(sequence), is_wrapped=len(sequence_lines) > 1)
        yield name, sequence
    if num_separators:
        warnings.append(separators_dropped(file_name, num_separators))


def _stripped(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        if "\0" in line:
            raise RecordError(NUL_BYTES)
        yield line.strip()


def _sequence_lines(lines: Iterator[str], name: str) -> list[str]:
    """Return the lines up to that with +, whose text, usually none, does not matter."""
    sequence_lines: list[str] = []
    for line in lines:
        if line.startswith("+"):
            return sequence_lines
        if line.startswith("@"):
            raise RecordError(
                f"{name}: the next record begins before its line '+' and its qualities. Give FASTQ "
                "with four lines a record, or FASTA."
            )
        sequence_lines.append(line)
    raise RecordError(f"{name}: the file ends before its line '+'. {CUT}")


def _skip_qualities(lines: Iterator[str], name: str, num_letters: int, *, is_wrapped: bool) -> None:
    num_qualities = 0
    while num_qualities < num_letters:
        line = next(lines, None)
        if line is None:
            raise RecordError(
                f"{name}: {num_letters} bases but {num_qualities} qualities at the end of the "
                f"file. {CUT}"
            )
        num_qualities += len(line)
        if not is_wrapped:
            break
    if num_qualities != num_letters:
        raise RecordError(
            f"{name}: {num_letters} bases but {num_qualities} qualities. The file is damaged, or a "
            "program changed only one of them: copy or make it again."
        )


def _not_a_header(line: str) -> str:
    if line[0] == ">":
        return "begins with '>', as FASTA. Give FASTA and FASTQ as files of their own."
    return (
        f"begins with {line[:20]!r}, not with '@'. A line is missing or too many before it: copy "
        "or make the file again."
    )
