"""The HDF5 file of one frame file's embeddings: `embeddings` [n, d], `ids` [n], provenance.

embeddings   float32 [n, d]
ids          fixed-width bytes [n], UTF-8, in the order of the frame file
no_vector    uint8 [n], why a row has no vector (sequences/no_vector.py) and is NaN; 0: it has one.
             Only in a file with such a row
attributes   one for each field of Provenance; `numerics` is JSON with sorted keys

Its last 16 bytes, behind what HDF5 reads, are the XXH3 (128 bits) of all before them: a sha256
would take a tenth of CLASSIFY's time.
"""

import contextlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import h5py
import numpy as np
import xxhash
from numpy.typing import NDArray

from virnucpro.checksums import damaged
from virnucpro.files import file_blocks
from virnucpro.sequences.no_vector import HAS_VECTOR, NO_VECTOR_REASONS

NO_VECTOR = "no_vector"
SEAL_BYTES = 16


@dataclass(frozen=True)
class Provenance:
    """What the vectors of a file depend on, except their sequences.

    Attributes:
        architecture: "esm2" or "dnabert_s".
        component_sha256: of the encoder file.
        tokenizer_sha256: of the tokenizer file; empty where the encoder file has the alphabet.
        library_digest: of the code.
        numerics: the numerics key: device, precision, token budget and so on.
        num_tokens: tokens of all sequences, special tokens included, filler not.
        num_recomputed: sequences that overflowed in half precision and were computed in float32.
        frames_sha256: of the frame file; empty where that came without a checksum.
    """

    architecture: str
    component_sha256: str
    tokenizer_sha256: str
    library_digest: str
    numerics: dict[str, str | int]
    num_tokens: int = 0
    num_recomputed: int = 0
    frames_sha256: str = ""


class EmbeddingsWriter:
    """Writes a file block by block, under a temporary name until it is finished or discarded.

    Equal content gives equal bytes, whatever the blocks.
    """

    def __init__(self, path: Path, ids: Sequence[str], width: int) -> None:
        """Begin a file with room for one vector of `width` numbers for each id."""
        self._path = path
        self._temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        encoded = [name.encode() for name in ids]
        id_width = max(map(len, encoded), default=1)
        self._file = h5py.File(self._temporary, "w")
        self._vectors = self._file.create_dataset(
            "embeddings", (len(encoded), width), np.float32, track_times=False
        )
        stored_ids = np.array(encoded, f"S{id_width}")
        assert stored_ids.tolist() == encoded, "strings of one width lose NULs at their end"
        self._file.create_dataset("ids", data=stored_ids, track_times=False)

    def write(self, first_row: int, vectors: np.ndarray) -> None:
        """Write the vectors [n, width] of some rows."""
        if len(vectors):  # HDF5 refuses to select nothing
            self._vectors[first_row : first_row + len(vectors)] = vectors

    def finish(self, provenance: Provenance, no_vector: NDArray[np.uint8] | None = None) -> None:
        """Add the provenance and the checksum, and give the file its name.

        Args:
            no_vector: uint8 [n], why a row has no vector; default: all have one.
        """
        if no_vector is not None and no_vector.any():
            self._file.create_dataset(NO_VECTOR, data=no_vector, track_times=False)
        for field in fields(Provenance):
            value = getattr(provenance, field.name)
            if field.name == "numerics":
                value = json.dumps(value, sort_keys=True)
            self._file.attrs[field.name] = value
        self._file.close()
        seal(self._temporary)
        self._temporary.replace(self._path)

    def discard(self) -> None:
        """Remove what has been written."""
        self._temporary.unlink(missing_ok=True)
        with contextlib.suppress(OSError, RuntimeError):  # what is buffered may not fit on the disk
            self._file.close()


def seal(path: Path) -> None:
    """Append the XXH3 of a file, 16 bytes, which HDF5 does not read."""
    digest = xxhash.xxh3_128()
    for block in file_blocks(path):
        digest.update(block)
    with path.open("ab") as stream:
        stream.write(digest.digest())


def _check_seal(path: Path) -> None:
    """Refuse a file that does not end with the XXH3 of what comes before.

    The HDF5 library never sees a damaged file: it can loop for ever in one.
    """
    digest, tail = xxhash.xxh3_128(), b""
    try:
        left = path.stat().st_size - SEAL_BYTES
        for block in file_blocks(path):
            digest.update(memoryview(block)[: max(left, 0)])
            left -= len(block)
            tail = (tail + block[-SEAL_BYTES:])[-SEAL_BYTES:]
    except OSError as error:
        raise damaged(path, f"cannot be read ({error.strerror})") from error
    if digest.digest() != tail:
        raise damaged(path, "is not what its task wrote, by its checksum: cut, changed or replaced")


def read_embeddings(path: Path) -> tuple[list[str], np.ndarray, Provenance]:
    """Return ids, float32 [n, d] and the provenance of a file.

    Rows without a vector are NaN; read_no_vector says why.

    Raises: DamagedFileError when the file is damaged, of another kind, or its parts do not fit
        together.
    """
    _check_seal(path)
    try:
        with h5py.File(path, "r") as file:
            embeddings = file["embeddings"][()]
            raw_ids = file["ids"][()]
            no_vector = (
                file[NO_VECTOR][()] if NO_VECTOR in file else np.zeros(len(raw_ids), np.uint8)
            )
            values = {field.name: file.attrs[field.name] for field in fields(Provenance)}
        values["numerics"] = json.loads(values["numerics"])
        values |= {name: int(values[name]) for name in ("num_tokens", "num_recomputed")}
        provenance = Provenance(**values)
        ids = [name.decode() for name in raw_ids.tolist()]
    except OSError as error:
        raise damaged(path, f"cannot be read as HDF5 ({error})") from error
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise damaged(path, f"is not a file of embeddings ({error})") from error
    if embeddings.ndim != 2 or embeddings.dtype != np.float32:
        raise damaged(
            path, f"embeddings are {embeddings.dtype} {embeddings.shape}, expected float32 [n, d]"
        )
    if len(ids) != len(embeddings):
        raise damaged(path, f"{len(ids)} ids but {len(embeddings)} vectors")
    if len(set(ids)) != len(ids):
        raise damaged(path, "an id occurs twice")
    if (no_vector.dtype, no_vector.shape) != (np.uint8, (len(ids),)) or (
        no_vector >= len(NO_VECTOR_REASONS)
    ).any():
        raise damaged(path, "does not say in a known way which frames have no vector")
    if not np.isfinite(embeddings[no_vector == HAS_VECTOR]).all():
        raise damaged(path, "contains values that are not finite")
    return ids, embeddings, provenance


def read_no_vector(path: Path) -> NDArray[np.uint8]:
    """Return uint8 [n], why a row has no vector, of a file that read_embeddings has accepted."""
    with h5py.File(path, "r") as file:
        return _no_vector(file)


def _no_vector(file: h5py.File) -> NDArray[np.uint8]:
    if NO_VECTOR not in file:
        return np.zeros(len(file["ids"]), np.uint8)
    no_vector: NDArray[np.uint8] = file[NO_VECTOR][()]
    return no_vector
