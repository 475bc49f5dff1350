"""Converts the tensors of a plan into a component file, with one of them in memory at a time."""

import json
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from virnucpro.errors import InputError
from virnucpro.model_import.plan import Plan
from virnucpro.model_import.progress import byte_progress
from virnucpro.model_import.safetensors_file import write_safetensors
from virnucpro.model_import.stored_tensor import DTYPES, StoredTensor


def component_bytes(plan: Plan, dtype: str) -> int:
    """Return the size of the numbers of a component."""
    return sum(map(prod, plan.shapes.values())) * DTYPES[dtype].itemsize


def convert_component(path: Path, plan: Plan, dtype: str) -> str:
    """Write the component of a plan; return its sha256. Equal sources give equal bytes.

    Raises: InputError for a number that is not finite, in the source or in the requested format.
    """
    config = json.dumps(plan.config, sort_keys=True)
    metadata = {"architecture": plan.architecture, "config": config}
    label = f"writing {plan.architecture}"
    with byte_progress(label, component_bytes(plan, dtype)) as progress:
        tensors = _converted(plan, dtype, progress)
        return write_safetensors(path, plan.shapes, dtype, metadata, tensors)


def _converted(plan: Plan, dtype: str, progress: tqdm) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the tensors of a component, sorted by name."""
    for name in sorted(plan.tensors):
        parts = [_checked(name, part, dtype) for part in plan.tensors[name]]
        numbers = np.concatenate(parts) if len(parts) > 1 else parts[0]
        yield name, numbers
        progress.update(numbers.nbytes)


def _checked(name: str, part: StoredTensor, dtype: str) -> NDArray[Any]:
    numbers = part.read()
    if numbers.dtype.kind != "f":
        raise InputError(f"{part.path}: {name} is {part.dtype}, expected floating point.")
    kind = DTYPES[dtype]
    with np.errstate(over="ignore"):
        stored = numbers.astype(kind, copy=False)
    if np.isfinite(stored).all():
        return stored
    count = int((~np.isfinite(numbers)).sum())
    if count:
        raise InputError(
            f"{part.path}: {name} has {count} values that are infinite or NaN. The file is "
            "damaged: copy it again."
        )
    count = int((~np.isfinite(stored)).sum())
    raise InputError(
        f"{part.path}: {name} has {count} values above {np.finfo(kind).max:g}, the largest of "
        f"{dtype}. Build with --dtype float32."
    )
