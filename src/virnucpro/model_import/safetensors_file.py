"""Safetensors files: the places of the tensors in one, and writing one tensor after the other.

A file is the length of its header (8 bytes), the header (JSON: name -> dtype, shape, place), and
the numbers. The library's save_file gives the same bytes, but takes all tensors at once: 2.9 GiB of
memory for a component of 2.3 GiB, against 0.7 GiB here, and ESM-2 15B would need 60 GB. A second
path for the components that fit would be more code, so all are written here.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from virnucpro.errors import InputError
from virnucpro.model_import.stored_tensor import DTYPES, StoredTensor, contiguous_strides

DTYPE_NAMES = {
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F64": "float64",
    "I64": "int64",
    "I32": "int32",
    "BOOL": "bool",
}
WRITTEN = {"float32": "F32", "float16": "F16"}
ALIGNMENT_BYTES = 8  # of the first number, as the library aligns it


def read_safetensors(path: Path) -> tuple[dict[str, StoredTensor], dict[str, str]]:
    """Return the tensors of a file, still on disk, and its metadata.

    Raises: InputError naming the file.
    """
    try:
        with safe_open(path, "numpy") as opened:  # checks the header, and that it fits the size
            metadata = opened.metadata() or {}
        with path.open("rb") as stream:
            header_bytes = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(header_bytes))
    except SafetensorError as error:
        raise InputError(
            f"{path}: not a readable safetensors file ({error}). It is cut short or damaged: copy "
            "it again."
        ) from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from error
    header.pop("__metadata__", None)
    if unknown := sorted({entry["dtype"] for entry in header.values()} - DTYPE_NAMES.keys()):
        raise InputError(
            f"{path}: has tensors of dtype {', '.join(unknown)}. Convert them to F32 or F16."
        )
    tensors = {}
    for name, entry in header.items():
        shape = tuple(entry["shape"])
        place = 8 + header_bytes + entry["data_offsets"][0]
        dtype = DTYPE_NAMES[entry["dtype"]]
        tensors[name] = StoredTensor(path, place, dtype, shape, contiguous_strides(shape))
    return tensors, metadata


def write_safetensors(
    path: Path,
    shapes: Mapping[str, tuple[int, ...]],
    dtype: str,
    metadata: Mapping[str, str],
    tensors: Iterable[tuple[str, NDArray[Any]]],
) -> str:
    """Write tensors as they are produced; equal content gives equal bytes.

    Args:
        path: of the new file.
        shapes: of all tensors.
        dtype: of all, "float32" or "float16".
        metadata: of the file.
        tensors: name and numbers, sorted by name.
    Returns: the sha256 of the file.
    """
    code, kind = WRITTEN[dtype], DTYPES[dtype]
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    end = 0
    for name in sorted(shapes):
        start, end = end, end + prod(shapes[name]) * kind.itemsize
        header[name] = {"dtype": code, "shape": list(shapes[name]), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text = text.ljust(-(-len(text) // ALIGNMENT_BYTES) * ALIGNMENT_BYTES)
    digest = hashlib.sha256()
    expected = iter(sorted(shapes))
    with path.open("wb") as stream:
        for part in (len(text).to_bytes(8, "little"), text):
            stream.write(part)
            digest.update(part)
        for name, numbers in tensors:
            assert name == next(expected) and numbers.shape == shapes[name], name
            data = np.ascontiguousarray(numbers, kind).data
            stream.write(data)
            digest.update(data)
        assert next(expected, None) is None, "a tensor is missing"
        stream.flush()
        os.fsync(stream.fileno())
    return digest.hexdigest()
