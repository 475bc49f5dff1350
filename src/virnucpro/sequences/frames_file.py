"""Reading the FASTA files of frames that TRANSLATE writes."""

from pathlib import Path

import dnaio

from virnucpro.errors import InputError, excerpt


def read_frames(path: Path) -> tuple[list[str], list[str]]:
    """Return the ids and sequences of a FASTA file, wrapped or not, in file order.

    Raises: InputError for a file that is not FASTA, a frame without a sequence, an id that occurs
        twice, and one with a control character, at which readers cut it.
    """
    ids: list[str] = []
    sequences: list[str] = []
    try:
        with path.open("rb") as stream:  # dnaio.open would decompress what is not a frame file
            for record in dnaio.FastaReader(stream):
                if not record.name.isprintable():
                    raise InputError(
                        f"{path}, frame {excerpt(record.name)}: has a control character in its id. "
                        "Remove it from the name of the sequence."
                    )
                ids.append(record.id)
                sequences.append(record.sequence)
    except (OSError, ValueError, dnaio.FileFormatError) as error:
        raise InputError(f"{path}: not a readable FASTA file ({excerpt(error, 200)}).") from error
    seen: set[str] = set()
    for name, sequence in zip(ids, sequences, strict=True):
        if not sequence:
            raise InputError(
                f"{path}, frame {excerpt(name)}: has no sequence. The file is cut short."
            )
        if name in seen:
            raise InputError(
                f"{path}, frame {excerpt(name)}: occurs twice. Ids must be unique in a file."
            )
        seen.add(name)
    return ids, sequences
