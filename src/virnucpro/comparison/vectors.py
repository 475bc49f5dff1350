"""Compares the embeddings of two runs of this pipeline by id."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from virnucpro.embeddings.store import NO_VECTOR
from virnucpro.errors import InputError
from virnucpro.sequences.no_vector import HAS_VECTOR

ENCODERS = ("dnabert_s", "esm2")


@dataclass(frozen=True)
class VectorResult:
    """The differences between two sets of embeddings.

    Attributes:
        num_common: ids in both; only_a, only_b: ids in one.
        max_gap: largest absolute difference of an element.
        cosine_min, cosine_mean: of the vectors as they are.
        centred_min, centred_mean: after the mean of A, which all vectors share, is subtracted.
    """

    encoder: str
    num_common: int
    only_a: int
    only_b: int
    max_gap: float
    cosine_min: float
    cosine_mean: float
    centred_min: float
    centred_mean: float


def compare_embeddings(a: Sequence[Path], b: Sequence[Path]) -> Iterator[VectorResult]:
    """Yield a result for each encoder of which both have files. Memory: ids, and a file of each.

    Raises: InputError for a file that cannot be read.
    """
    for encoder in ENCODERS:
        files_a, files_b = ([p for p in s if p.name.endswith(f".{encoder}.h5")] for s in (a, b))
        if files_a and files_b:
            yield _compare_encoder(encoder, files_a, files_b)


def _compare_encoder(encoder: str, a: list[Path], b: list[Path]) -> VectorResult:
    rows_of_b = {name: (file, row) for file in b for row, name in enumerate(_ids(file))}
    total, count, num_a = np.zeros(0), 0, 0
    for file in a:
        vectors = _vectors(file)
        total = vectors.sum(axis=0, dtype=np.float64) + (total if len(total) else 0.0)
        num_a += len(vectors)
    mean = total / max(num_a, 1)
    max_gap, plain, centred = 0.0, [], []
    for rows_a, rows_b in _matched(a, rows_of_b):
        if rows_a.shape[1] != rows_b.shape[1]:
            raise InputError(
                f"{a[0].parent} and {b[0].parent}: {encoder} vectors have {rows_a.shape[1]} and "
                f"{rows_b.shape[1]} elements. They are of different models."
            )
        count += len(rows_a)
        max_gap = max(max_gap, float(np.abs(rows_a - rows_b).max()))
        plain.append(_cosines(rows_a, rows_b))
        centred.append(_cosines(rows_a - mean, rows_b - mean))
    cosines = [np.concatenate(parts) if parts else np.array([np.nan]) for parts in (plain, centred)]
    return VectorResult(
        encoder, count, num_a - count, len(rows_of_b) - count, max_gap,
        float(cosines[0].min()), float(cosines[0].mean()),
        float(cosines[1].min()), float(cosines[1].mean()),
    )  # fmt: skip


def _matched(
    files: list[Path], rows_of_b: dict[str, tuple[Path, int]]
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Yield rows of A, float64 [n, d], and those of B with the same ids."""
    file_b, vectors_b = None, np.zeros((0, 0))
    for file in files:
        vectors = _vectors(file)
        pairs = [(i, *rows_of_b[name]) for i, name in enumerate(_ids(file)) if name in rows_of_b]
        for path in dict.fromkeys(path for _, path, _ in pairs):
            if file_b != path:
                file_b, vectors_b = path, _vectors(path)
            rows = [(row_a, row_b) for row_a, other, row_b in pairs if other == path]
            rows_a, rows_b = np.array(rows).T
            yield vectors[rows_a], vectors_b[rows_b]


def _cosines(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    equal = (a == b).all(axis=1)  # also where both are zero
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(equal, 1.0, np.einsum("nd,nd->n", a, b) / lengths)


def _ids(file: Path) -> list[str]:
    return [name.decode() for name in _dataset(file, "ids").tolist()]


def _vectors(file: Path) -> NDArray[np.float64]:
    return _dataset(file, "embeddings").astype(np.float64)


def _dataset(file: Path, name: str) -> NDArray[np.generic]:
    """Read one dataset, of the frames that have a vector.

    Attributes do not matter, so that files of any version can be compared.
    """
    try:
        with h5py.File(file, "r") as stream:
            data: NDArray[np.generic] = stream[name][()]
            if NO_VECTOR in stream:
                data = data[stream[NO_VECTOR][()] == HAS_VECTOR]
    except (OSError, KeyError) as error:
        raise InputError(f"{file}: is not an embeddings file ({error}).") from error
    return data
