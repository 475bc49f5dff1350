"""Do the reads of a pair belong together? In two files of mates, or in one where they alternate."""

import re
from collections.abc import Iterator

from virnucpro.errors import InputError, excerpt
from virnucpro.sequences.reader import InputFile, Record, open_decompressed, read_records
from virnucpro.sequences.sample_warnings import SampleWarnings

MATES = {"/1": "first", "/2": "second"}
# the header of an Illumina read: `NAME 1:N:0:ACGT`
ILLUMINA_COMMENT = re.compile(rb"[>@]\S+\s+([12]):[YN]:\d")
# other ends of a name that differ between mates: r.1 and r_1 (SRA), r_R1, r_1:N:0:ACGT
MATE_IN_NAME = {
    mate: re.compile(rf"(?<=[./_:|-])(R?){mate[1]}((?::[YN]:\d\S*)?)$") for mate in MATES
}
REMEDY = "Give the file of first mates as input, that of second mates as input_2."


def read_interleaved(source: InputFile, warnings: SampleWarnings) -> Iterator[Record]:
    """Yield the records of a file in which the two reads of each pair alternate, as /1 and /2.

    Args:
        warnings: gets what is odd about the file.
    Raises: InputError for an odd number of reads, and where neighbours are not of one pair.
    """
    file_name = source.path.name
    remedy = "Is the file interleaved? If not, omit --interleaved; else make it again."
    position = 0
    records = read_records(source, warnings)
    for first in records:
        position += 2
        second = next(records, None)
        if second is None:
            raise InputError(
                f"{file_name}: {position - 1} reads, of which the last ({excerpt(first.name)}) "
                f"has no mate. {remedy}"
            )
        names = _with_suffix(first.name, "/1"), _with_suffix(second.name, "/2")
        if not are_mates(*names):
            raise InputError(
                f"{file_name}, records {position - 1} and {position}: {excerpt(first.name)} and "
                f"{excerpt(second.name)} are not the first and second read of a pair. {remedy}"
            )
        yield first._replace(name=names[0])
        yield second._replace(name=names[1])


def check_first_pair(first: InputFile, second: InputFile) -> None:
    """Compare the first reads of two files, before all of them are read.

    Raises: InputError when the files are exchanged, are both of the same mates, or have different
        reads.
    """
    names = [next(read_records(file), Record("", "")).name for file in (first, second)]
    for file, name in zip((first, second), names, strict=True):
        mate = _mate_in_header(file, name)
        if mate not in ("", file.mate):
            raise InputError(
                f"{file.path.name}: its first read, {excerpt(name.removesuffix(file.mate))}, is a "
                f"{MATES[mate]} mate, but the file is given as that of the {MATES[file.mate]} "
                f"ones. {REMEDY}"
            )
    if all(names):
        _check_pair(first, second, 1, *names)


def check_pairs(first: InputFile, second: InputFile) -> None:
    """Compare the names of all reads of two files, which have the same number of them.

    Raises: InputError with the first two that do not agree.
    """
    pairs = zip(read_records(first), read_records(second), strict=True)
    for number, (one, two) in enumerate(pairs, start=1):
        _check_pair(first, second, number, one.name, two.name)


def are_mates(first: str, second: str) -> bool:
    """Return whether two names, which end in /1 and /2, are the same but for the mate in them."""
    first, second = first[:-2], second[:-2]
    return first == second or _without_mate(first, "/1") == _without_mate(second, "/2")


def _check_pair(first: InputFile, second: InputFile, number: int, one: str, two: str) -> None:
    if are_mates(one, two):
        return
    files = f"{first.path.name} and {second.path.name}, record {number} of each"
    names = one.removesuffix("/1"), two.removesuffix("/2")
    shown = [excerpt(name) or "no name" for name in names]
    if _without_mate(names[0], "/2") == _without_mate(names[1], "/1"):
        raise InputError(f"{files}: {shown[0]} and {shown[1]} are second and first mate. {REMEDY}")
    raise InputError(
        f"{files}: {shown[0]} and {shown[1]} are not the names of one "
        "pair. The files are of different samples, or reads are missing or in another order: give "
        "the two files of one sequencing run, or both in rows of their own, without input_2."
    )


def _without_mate(name: str, mate: str) -> str:
    return MATE_IN_NAME[mate].sub(r"\1\2", name)


def _mate_in_header(file: InputFile, name: str) -> str:
    """Return which mate the first read of a file is by its name or comment: "/1", "/2" or ""."""
    in_name = name.removesuffix(file.mate)[-2:]
    if in_name in MATES:
        return in_name
    with open_decompressed(file.path) as stream:
        comment = ILLUMINA_COMMENT.match(next(filter(bytes.strip, stream), b""))
    return f"/{comment[1].decode()}" if comment else ""


def _with_suffix(name: str, mate: str) -> str:
    return name + mate if name and not name.endswith(mate) else name
