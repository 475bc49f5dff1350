"""A tensor that is still on disk: read one at a time, so that memory follows the largest."""

from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from virnucpro.errors import InputError

# Dtypes as torch names them, and numpy's type for their bytes, little-endian.
DTYPES: dict[str, np.dtype[Any]] = {
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "bfloat16": np.dtype("<u2"),  # numpy has none: its bits are the upper half of a float32
    "float64": np.dtype("<f8"),
    "int64": np.dtype("<i8"),
    "int32": np.dtype("<i4"),
    "bool": np.dtype("bool"),
}


@dataclass(frozen=True)
class StoredTensor:
    """The place of a tensor in a file.

    Attributes:
        path: file; offset: place of the tensor's first byte.
        dtype: a key of DTYPES.
        shape: sizes; strides: in elements, all >= 0.
    """

    path: Path
    offset: int
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def __getitem__(self, row: int) -> "StoredTensor":
        """Return a row, still on disk.

        Raises: InputError when there is none.
        """
        if not 0 <= row < (*self.shape, 0)[0]:
            raise InputError(f"{self.path}: a tensor of shape {self.shape} has no row {row}.")
        offset = self.offset + row * self.strides[0] * DTYPES[self.dtype].itemsize
        return replace(self, offset=offset, shape=self.shape[1:], strides=self.strides[1:])

    def read(self) -> NDArray[Any]:
        """Return the numbers, contiguous; bfloat16 as float32, which holds them exactly."""
        kind = DTYPES[self.dtype]
        if prod(self.shape) == 0:
            return np.empty(self.shape, np.float32 if self.dtype == "bfloat16" else kind)
        steps = zip(self.shape, self.strides, strict=True)
        span = (1 + sum((size - 1) * stride for size, stride in steps)) * kind.itemsize
        # Mapped during this copy only: mapped pages count as memory of the process.
        mapped = np.memmap(self.path, np.uint8, "r", self.offset, (span,))
        bytes_strides = tuple(stride * kind.itemsize for stride in self.strides)
        numbers = np.ndarray(self.shape, kind, mapped, 0, bytes_strides)
        if self.dtype == "bfloat16":
            return (numbers.astype("<u4") << 16).view("<f4")
        return np.array(numbers, order="C")


def contiguous_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the strides of a tensor without gaps, last dimension fastest."""
    return tuple(prod(shape[place + 1 :]) for place in range(len(shape)))
