"""The device and precision to compute with, and the key of all that may change the numbers."""

import ctypes
import os
from importlib.metadata import version
from pathlib import Path

import torch

from virnucpro.errors import InputError
from virnucpro.models.options import CPU_PRECISIONS

ENGINE_VERSION = 4  # raise it with any change that alters a vector, even in its last bit

# Type of weights and activations. tf32: float32, multiplied with 10 bits of mantissa;
# fp8: float16, with weights and inputs of most products rounded to 8 bits.
DTYPES = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
    "fp8": torch.float16,
}
TF32_CAPABILITY = (8, 0)

# Oldest Linux driver for each CUDA major version (NVIDIA, CUDA compatibility guide).
MIN_DRIVERS = {11: 450, 12: 525, 13: 580}
NO_VISIBLE_GPU = ("", "-1", "NoDevFiles")  # values of CUDA_VISIBLE_DEVICES that hide every GPU


def choose_device(name: str) -> torch.device:
    """Return the device for "auto", "cpu" or "cuda"; auto is the GPU where there is one.

    Raises: InputError with the reason when a GPU is asked for, or present, and is not usable.
    """
    if name == "cpu":
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda")
    if name == "auto" and not (_gpu_is_there() and _driver_cuda()):
        return torch.device("cpu")
    raise InputError(f"--device {name}: {unusable_reason()}")


def _gpu_is_there() -> bool:
    """Return whether this task has a GPU, whether or not torch can use it."""
    is_hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in NO_VISIBLE_GPU
    return not is_hidden and any(Path("/dev").glob("nvidia[0-9]*"))


def unusable_reason() -> str:
    """Return in one line why torch sees no GPU, and what to do."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    needed = torch.version.cuda
    if needed is None:
        return "this torch is built without CUDA. Use the GPU image or requirements."
    if visible is not None and visible.strip() in NO_VISIBLE_GPU:
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
            f"the driver to {MIN_DRIVERS.get(major, 'a newer one')} or later, or use an image "
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
    cuda_version = ctypes.c_int(0)
    status = driver.cuDriverGetVersion(ctypes.byref(cuda_version))
    return cuda_version.value if status == 0 else 0


def choose_precision(name: str, device: torch.device) -> str:
    """Return a key of DTYPES; auto is fp16 on a GPU and fp32 on a CPU.

    Raises: InputError for what a CPU cannot do, or would do slowly, and for tf32 on a GPU that
        does not have it and would compute in fp32 under that name.
    """
    if name == "auto":
        return "fp16" if device.type == "cuda" else "fp32"
    if device.type == "cpu" and name not in CPU_PRECISIONS:
        raise InputError(f"--precision {name}: a CPU computes in fp32 or bf16. Use auto or fp32.")
    if name == "tf32" and torch.cuda.get_device_capability(device) < TF32_CAPABILITY:
        raise InputError("--precision tf32: needs compute capability 8.0 or newer. Use fp32.")
    return name


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
    """Return all that the last bits of a vector depend on, except the sequence and the weights.

    Args:
        path: which forward pass: plain, in place, fused or official.
        attention: its back end.
        package: the distribution whose code computes, besides torch and Triton.
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
        # cuBLAS chooses a kernel by the number of multiprocessors, too
        key["device"] = f"cuda sm_{card.major}{card.minor} x{card.multi_processor_count}"
        key["triton"] = version("triton") if path == "fused" or attention == "triton" else ""
    else:
        key["device"] = f"cpu {torch.backends.cpu.get_cpu_capability()}"
    return key
