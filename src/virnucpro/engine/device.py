"""The device and precision to compute with, and the key that says which numbers to expect."""

import ctypes
import os
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from virnucpro.errors import InputError

if TYPE_CHECKING:
    from virnucpro.models.component import Encoder

ENGINE_VERSION = 4  # raise it with any change that alters a vector, even in its last bit

# What weights and activations are stored as. tf32: float32, multiplied with 10 bits of mantissa;
# fp8: float16, with weights and inputs of most products rounded to 8 bits.
DTYPES = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
    "fp8": torch.float16,
}
DEVICE_CHOICES = ("auto", "cpu", "cuda")
PRECISION_CHOICES = ("auto", *DTYPES)
CPU_PRECISIONS = ("fp32", "bf16")
TF32_CAPABILITY = (8, 0)

# Tokens of a batch on a CPU: of 1024, 2048 and 4096 within 10 % of the best (compact model, 2
# cores), and a short run wastes little filler.
CPU_TOKEN_BUDGET = 2048
# On a GPU, where memory allows: whole waves of 128 x 256 tiles on 132 multiprocessors (H100, H200)
# for every product, 2 and 4 times 132 * 128. On an H100 within 1 % of the best.
GPU_TOKEN_BUDGETS = {"esm2": 33792, "dnabert_s": 67584}
MIN_TOKEN_BUDGET = 1024
MEMORY_SHARE = 0.8  # of the card, for weights and one batch
# Bytes of activations a token, by width and bytes of a number: qkv, hidden layer, streams, pooling.
ACTIVATIONS = 50

# First Linux driver of each CUDA major version (NVIDIA, CUDA compatibility guide).
FIRST_DRIVERS = {11: 450, 12: 525, 13: 580}
HIDDEN = ("", "-1", "NoDevFiles")  # values of CUDA_VISIBLE_DEVICES that hide every GPU
# How it is said where torch's allocator is not asked: contexts and pinned memory, cuBLAS, kernels.
OUT_OF_MEMORY = (
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "Triton Error [CUDA]: out of memory",
)


class GpuMemoryError(Exception):
    """The GPU's memory ran out: try again elsewhere or later."""


class SequenceTooLongError(GpuMemoryError):
    """It ran out for one sequence that is longer than a batch: smaller batches do not help."""


def choose_device(name: str) -> torch.device:
    """Return the device for "auto", "cpu" or "cuda"; auto is the GPU where there is one.

    Raises: InputError when a GPU is asked for, or there, and is not usable, with the reason.
    """
    if name == "cpu":
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda")
    if name == "auto" and not (_gpu_is_there() and _driver_cuda()):
        return torch.device("cpu")
    raise InputError(f"--device {name}: {unusable_reason()}")


def _gpu_is_there() -> bool:
    """Return whether this task has a GPU, whatever torch can do with it."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in HIDDEN
    return not hidden and any(Path("/dev").glob("nvidia[0-9]*"))


def unusable_reason() -> str:
    """Return in one line why torch sees no GPU, and what to do."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    needed = torch.version.cuda
    if needed is None:
        return "this torch is built without CUDA. Use the GPU image or requirements."
    if visible is not None and visible.strip() in HIDDEN:
        return (
            f"CUDA_VISIBLE_DEVICES is '{visible}', which hides every GPU. Ask the scheduler for a "
            "GPU, or unset it."
        )
    driver = _driver_cuda()
    if driver == 0:
        return (
            "no NVIDIA driver is visible. Run on a machine with a GPU; in a container pass it in "
            "(docker --gpus all, apptainer --nv)."
        )
    major = int(needed.split(".")[0])
    if driver // 1000 < major:
        supported = f"{driver // 1000}.{driver % 1000 // 10}"
        return (
            f"the NVIDIA driver supports CUDA {supported}, this torch needs CUDA {needed}. Update "
            f"the driver to {FIRST_DRIVERS.get(major, 'a newer one')} or later, or use an image "
            f"built for CUDA {driver // 1000}."
        )
    try:
        torch.cuda.init()
    except RuntimeError as error:
        return f"CUDA does not start: {str(error).splitlines()[0]}"
    return f"the driver (CUDA {driver // 1000}) shows no GPU. Check nvidia-smi."


def _driver_cuda() -> int:
    """Return the CUDA version of the driver, 1000 * major + 10 * minor; 0 without a driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    version = ctypes.c_int(0)
    status = driver.cuDriverGetVersion(ctypes.byref(version))
    return version.value if status == 0 else 0


def choose_precision(name: str, device: torch.device) -> str:
    """Return a key of DTYPES; auto is fp16 on a GPU and fp32 on a CPU.

    Raises: InputError for what a CPU cannot do, or would do slowly, and for tf32 on a GPU that
        has none and would compute in fp32 under that name.
    """
    if name == "auto":
        return "fp16" if device.type == "cuda" else "fp32"
    if device.type == "cpu" and name not in CPU_PRECISIONS:
        raise InputError(f"--precision {name}: a CPU computes in fp32 or bf16. Use auto or fp32.")
    if name == "tf32" and torch.cuda.get_device_capability(device) < TF32_CAPABILITY:
        raise InputError("--precision tf32: needs compute capability 8.0 or newer. Use fp32.")
    return name


def token_budget(encoder: "Encoder", precision: str, device: torch.device) -> int:
    """Return the tokens of a batch: a constant for a model, precision and size of memory."""
    if device.type == "cpu":
        return CPU_TOKEN_BUDGET
    size = DTYPES[precision].itemsize
    room = MEMORY_SHARE * torch.cuda.get_device_properties(device).total_memory
    room -= sum(weight.numel() for weight in encoder.parameters()) * size
    budget = GPU_TOKEN_BUDGETS[encoder.architecture]
    while budget > MIN_TOKEN_BUDGET and budget * ACTIVATIONS * encoder.config.width * size > room:
        budget //= 2
    return budget


def is_shared(device: torch.device) -> bool:
    """Return whether other programs hold more of a GPU's memory than this one leaves unused."""
    if device.type == "cpu":
        return False
    free, total = torch.cuda.mem_get_info(device)
    return total - free - torch.cuda.memory_reserved(device) > (1 - MEMORY_SHARE) * total


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that GPU memory ran out; only torch's allocator has a class."""
    if isinstance(error, (GpuMemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in OUT_OF_MEMORY)


def fix_numerics(*, tf32: bool = False) -> None:
    """Set torch's process-wide switches so that a kernel is chosen by shape and precision alone."""
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    torch.backends.cuda.enable_cudnn_sdp(False)  # it builds a plan, slowly, for each new shape


def numerics_key(
    device: torch.device,
    precision: str,
    token_budget: int,
    path: str,
    attention: str,
    package: str | None = None,
) -> dict[str, str | int]:
    """Return all that a vector's last bits depend on, beside the sequence and the weights.

    Args:
        path: which forward pass: plain, in place, fused or official.
        attention: its back end.
        package: the distribution whose code computes, beside torch and Triton.
    """
    key: dict[str, str | int] = {
        "attention": attention,
        "engine": ENGINE_VERSION,
        "path": path,
        "precision": precision,
        "token_budget": token_budget,
        "torch": str(torch.__version__),
    }
    if package:
        key[package] = version(package)
    if device.type == "cuda":
        card = torch.cuda.get_device_properties(device)
        # cuBLAS chooses by the number of multiprocessors too
        key["device"] = f"cuda sm_{card.major}{card.minor} x{card.multi_processor_count}"
        key["triton"] = version("triton") if path == "fused" or attention == "triton" else ""
    else:
        key["device"] = f"cpu {torch.backends.cpu.get_cpu_capability()}"
    return key
