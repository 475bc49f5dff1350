"""The HDF5 file of one frame file's embeddings: `embeddings` [n, d], `ids` [n], provenance.

embeddings   float32 [n, d]
ids          fixed-width bytes [n], UTF-8, in the order of the frame file
attributes   one for each field of Provenance; `numerics` is JSON with sorted keys

A damaged byte must not crash or hang the HDF5 library: metadata have checksums from format 1.10 on,
except the heap of texts of variable length, which there are none of.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from virnucpro.errors import InputError

FORMAT = "v110"


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
    """

    architecture: str
    component_sha256: str
    tokenizer_sha256: str
    library_digest: str
    numerics: dict[str, str | int]
    num_tokens: int = 0
    num_recomputed: int = 0


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
        self._file = h5py.File(self._temporary, "w", libver=FORMAT)
        self._vectors = self._file.create_dataset(
            "embeddings", (len(encoded), width), np.float32, track_times=False
        )
        self._file.create_dataset("ids", data=np.array(encoded, f"S{id_width}"), track_times=False)

    def write(self, first_row: int, vectors: np.ndarray) -> None:
        """Write the vectors [n, width] of some rows."""
        if len(vectors):  # HDF5 refuses to select nothing
            self._vectors[first_row : first_row + len(vectors)] = vectors

    def finish(self, provenance: Provenance) -> None:
        """Add the provenance, and give the file its name."""
        for field in fields(Provenance):
            value = getattr(provenance, field.name)
            if field.name == "numerics":
                value = json.dumps(value, sort_keys=True)
            self._file.attrs[field.name] = _fixed(value) if isinstance(value, str) else value
        self._file.close()
        self._temporary.replace(self._path)

    def discard(self) -> None:
        """Remove what has been written."""
        self._file.close()
        self._temporary.unlink(missing_ok=True)


def _fixed(text: str) -> np.ndarray:
    """Return a text as HDF5 keeps it in the attribute itself; it has at least one byte."""
    data = text.encode()
    return np.array(data, h5py.string_dtype("utf-8", max(1, len(data))))


def _plain(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def read_embeddings(path: Path) -> tuple[list[str], np.ndarray, Provenance]:
    """Return ids, float32 [n, d] and the provenance of a file.

    Raises: InputError when the file is damaged, of another kind, or its parts do not fit together.
    """
    try:
        with h5py.File(path, "r") as file:
            embeddings = file["embeddings"][()]
            raw_ids = file["ids"][()]
            values = {field.name: _plain(file.attrs[field.name]) for field in fields(Provenance)}
        values["numerics"] = json.loads(values["numerics"])
        values["num_tokens"] = int(values["num_tokens"])
        provenance = Provenance(**values)
        ids = [name.decode() for name in raw_ids.tolist()]
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read as HDF5 ({error}). It is cut short or damaged: create it "
            "again."
        ) from error
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: is not a file of embeddings ({error}). Create it again."
        ) from error
    if embeddings.ndim != 2 or embeddings.dtype != np.float32:
        raise InputError(
            f"{path}: embeddings are {embeddings.dtype} {embeddings.shape}, expected float32 "
            "[n, d]. Create it again."
        )
    if len(ids) != len(embeddings):
        raise InputError(f"{path}: {len(ids)} ids but {len(embeddings)} vectors. Create it again.")
    if len(set(ids)) != len(ids):
        raise InputError(f"{path}: an id occurs twice. Create it again.")
    if not np.isfinite(embeddings).all():
        raise InputError(f"{path}: contains values that are not finite. Create it again.")
    return ids, embeddings, provenance
