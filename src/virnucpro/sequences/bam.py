"""The reads of BAM."""

from collections.abc import Iterator
from pathlib import Path

import pysam

from virnucpro.errors import InputError
from virnucpro.sequences.decompression import DamagedFile, compression_of, is_bgzf, open_regular


def bam_records(path: Path) -> Iterator[tuple[str, str]]:
    """Yield each read of a BAM once and in its own orientation.

    Secondary and supplementary alignments repeat a read and are skipped; reads of a pair get /1 and
    /2.

    Raises: InputError for a BAM in another compression than its own, DamagedFile.
    """
    with open_regular(path) as file:
        head = file.read(18)
    if not is_bgzf(head):
        compression = compression_of(head)
        how = f"compressed with {compression.name}" if compression else "not compressed"
        raise InputError(
            f"{path.name}: is BAM, but {how} instead of BGZF, as programs for BAM read it. "
            "Write it again with samtools view -b, or compress the decompressed file with bgzip."
        )
    pysam.set_verbosity(0)  # otherwise htslib prints lines of its own
    try:
        with pysam.AlignmentFile(str(path), "rb", check_sq=False) as bam:
            for read in bam.fetch(until_eof=True):
                if read.is_secondary or read.is_supplementary:
                    continue
                mate = "/1" if read.is_read1 else "/2" if read.is_read2 else ""
                name = read.query_name or ""
                yield (
                    name if name.endswith(mate) else name + mate,
                    read.get_forward_sequence() or "",
                )
    except (OSError, ValueError) as error:
        raise DamagedFile(str(error)) from error
