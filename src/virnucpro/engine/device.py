"""The device and precision to compute with, and the key that says which numbers to expect."""

import ctypes
import os
from pathlib import Path

import torch

from virnucpro.errors import InputError
from virnucpro.models import attention

ENGINE_VERSION = 1  # raise it with any change that alters a vector, even in its last bit

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
DEVICE_CHOICES = ("auto", "cpu", "cuda")
PRECISION_CHOICES = ("auto", *DTYPES)

# Tokens of a batch. CPU: of 1024, 2048 and 4096 within 10 % of the best (compact model, 2 cores),
# and a short run wastes little filler. GPU: DESIGN section 1; to be measured for each memory class.
TOKEN_BUDGETS = {"cpu": 2048, "cuda": 16384}

# First Linux driver of each CUDA major version (NVIDIA, CUDA compatibility guide).
FIRST_DRIVERS = {11: 450, 12: 525, 13: 580}
HIDDEN = ("", "-1", "NoDevFiles")  # values of CUDA_VISIBLE_DEVICES that hide every GPU


class GpuMemoryError(Exception):
    """The GPU's memory ran out: try again elsewhere or later."""


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
    """Return "fp32", "fp16" or "bf16"; auto is fp16 on a GPU and fp32 on a CPU.

    Raises: InputError for half precision on a CPU, where it is slow and less exact.
    """
    if name == "auto":
        return "fp16" if device.type == "cuda" else "fp32"
    if device.type == "cpu" and name != "fp32":
        raise InputError(f"--precision {name}: a CPU computes in fp32 only. Use auto or fp32.")
    return name


def fix_numerics() -> None:
    """Set torch's process-wide switches so that a kernel is chosen by shape and precision alone."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    torch.backends.cuda.enable_cudnn_sdp(False)  # it builds a plan, slowly, for each new shape


def numerics_key(device: torch.device, precision: str, token_budget: int) -> dict[str, str | int]:
    """Return all that a vector's last bits depend on, beside the sequence and the weights."""
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        name = f"cuda sm_{major}{minor}"
    else:
        name = f"cpu {torch.backends.cpu.get_cpu_capability()}"
    return {
        "attention": attention.BACKEND,
        "device": name,
        "engine": ENGINE_VERSION,
        "precision": precision,
        "token_budget": token_budget,
        "torch": str(torch.__version__),
    }
