"""What fits into memory: the tokens of a batch; and the errors when a GPU's memory runs out."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from virnucpro.engine.device import DTYPES
from virnucpro.models.encoder import BaseEncoder
from virnucpro.models.options import MIN_TOKEN_BUDGET

# Tokens of a batch on a CPU: of 1024, 2048 and 4096 within 10 % of the best (compact model, 2
# cores), and a short run wastes little filler.
CPU_TOKEN_BUDGET = 2048
# On a GPU, where memory allows: whole waves of 128 x 256 tiles on 132 multiprocessors (H100, H200)
# for every product, 2 and 4 times 132 * 128. On an H100 within 1 % of the best.
GPU_TOKEN_BUDGETS = {"esm2": 33792, "dnabert_s": 67584}
MEMORY_SHARE = 0.8  # of a GPU, for weights and one batch
ACTIVATION_WIDTHS = 50  # widths of numbers a token: qkv, hidden layer, streams, pooling

# Messages of errors that are not torch.OutOfMemoryError, which torch's allocator alone raises: of
# contexts and pinned memory, cuBLAS, and Triton.
OUT_OF_MEMORY_MESSAGES = (
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "Triton Error [CUDA]: out of memory",
)


class GpuMemoryError(Exception):
    """GPU memory ran out: try again elsewhere or later."""


class SequenceTooLongError(GpuMemoryError):
    """It ran out for one sequence that is longer than a batch: smaller batches do not help."""


@contextmanager
def gpu_memory_errors(where: str = "") -> Iterator[None]:
    """Turn every error that says that GPU memory ran out into a GpuMemoryError.

    Args:
        where: for its message, " at 1024 tokens a batch".
    """
    try:
        yield
    except RuntimeError as error:
        reason = str(error)
        is_out_of_memory = isinstance(error, torch.OutOfMemoryError)
        if not (is_out_of_memory or any(words in reason for words in OUT_OF_MEMORY_MESSAGES)):
            raise
        reason = reason.splitlines()[0]
        raise GpuMemoryError(f"GPU memory ran out{where} ({reason}).") from error


def token_budget(encoder: BaseEncoder, precision: str, device: torch.device) -> int:
    """Return the tokens of a batch: a constant for a model, precision and size of memory."""
    if device.type == "cpu":
        return CPU_TOKEN_BUDGET
    size = DTYPES[precision].itemsize
    room = MEMORY_SHARE * torch.cuda.get_device_properties(device).total_memory
    room -= sum(weight.numel() for weight in encoder.parameters()) * size
    budget = GPU_TOKEN_BUDGETS[encoder.architecture]
    while budget > MIN_TOKEN_BUDGET and budget * ACTIVATION_WIDTHS * encoder.width * size > room:
        budget //= 2
    return budget


def device_with_room(num_weights: int, dtype: torch.dtype, device: torch.device) -> torch.device:
    """Return the GPU if an encoder fits there once more in float32, else the CPU."""
    if device.type == "cpu":
        return device
    room = MEMORY_SHARE * torch.cuda.get_device_properties(device).total_memory
    return device if num_weights * (4 + dtype.itemsize) < room else torch.device("cpu")


def is_shared(device: torch.device) -> bool:
    """Return whether other programs hold more of a GPU's memory than this one leaves unused."""
    if device.type == "cpu":
        return False
    free, total = torch.cuda.mem_get_info(device)
    return total - free - torch.cuda.memory_reserved(device) > (1 - MEMORY_SHARE) * total
