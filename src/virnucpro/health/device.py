"""torch, the GPU, its compiler and attention back ends. Only these checks import torch."""

import importlib.util
import os
import shutil
from typing import TYPE_CHECKING

from virnucpro.errors import InputError
from virnucpro.health.check_result import FAIL, OK, SKIP, WARN, CheckResult, Machine, run_program

if TYPE_CHECKING:
    import torch

GIB = 1 << 30
MIN_CAPABILITY = (7, 5)  # of the GPUs that this torch has code for
MIN_FREE_GPU = 10 * GIB  # ESM-2 3B in half precision, and a batch
NO_TORCH = "torch is not installed, so embedding steps cannot run in this environment"


def torch_device(name: str) -> "torch.device":
    """Return the device that a task would use.

    Raises: InputError without torch or a usable device.
    """
    if importlib.util.find_spec("torch") is None:
        raise InputError(NO_TORCH)
    try:
        from virnucpro.engine.device import choose_device

        return choose_device(name)
    except (InputError, ImportError, OSError) as error:
        raise InputError("see the check of the GPU") from error


def check_gpu(machine: Machine) -> CheckResult:
    """Return which GPU a task would use, or why none."""
    if importlib.util.find_spec("torch") is None:
        return CheckResult("gpu", SKIP, NO_TORCH)
    try:
        import torch

        from virnucpro.engine.device import choose_device, unusable_reason
    except (ImportError, OSError) as error:
        remedy = "Run `make setup` again, or use the GPU image."
        return CheckResult("gpu", FAIL, f"torch cannot be imported: {error}", remedy)
    if machine.device == "cpu":
        return CheckResult("gpu", SKIP, "--device cpu")
    try:
        device = choose_device(machine.device)
    except InputError as error:
        reason, _, remedy = str(error).partition(". ")
        return CheckResult("gpu", FAIL, reason, remedy)
    if device.type == "cpu":
        reason, _, remedy = unusable_reason().partition(". ")
        return CheckResult("gpu", WARN, f"none, the CPU will compute: {reason}", remedy)
    card = torch.cuda.get_device_properties(device)
    free, total = torch.cuda.mem_get_info(device)
    driver = run_program(
        ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"], machine.environment
    )
    found = (
        f"{card.name}, capability {card.major}.{card.minor}, {free / GIB:.1f} of "
        f"{total / GIB:.1f} GiB free, driver {(driver.text.splitlines() or ['unknown'])[0]}, "
        f"torch {torch.__version__}, {torch.cuda.device_count()} visible"
    )
    if (card.major, card.minor) < MIN_CAPABILITY:
        return CheckResult("gpu", FAIL, found, "It is too old for this torch. Use --device cpu.")
    if free < MIN_FREE_GPU:
        remedy = (
            "Another program may hold it (nvidia-smi); ESM-2 3B needs 10 GiB, smaller ones less."
        )
        return CheckResult("gpu", WARN, found, remedy)
    return CheckResult("gpu", OK, found)


def check_compiler(machine: Machine) -> CheckResult:
    """Return whether GPU kernels can be compiled."""
    try:
        device = torch_device(machine.device)
    except InputError as error:
        return CheckResult("compiler", SKIP, str(error))
    path = machine.environment.get("PATH")
    chosen = machine.environment.get("CC")
    names = [chosen] if chosen else ["gcc", "clang"]
    compilers = [shutil.which(name, path=path) for name in names]
    if compiler := next(filter(None, compilers), None):
        return CheckResult("compiler", OK, compiler)
    found = f"CC={chosen} does not exist" if chosen else "neither gcc nor clang on PATH"
    if device.type == "cpu":
        return CheckResult("compiler", SKIP, f"{found}; the CPU needs none")
    remedy = "Install gcc, load a module or set CC: without it the slower forward pass runs."
    return CheckResult("compiler", WARN, found, remedy)


def check_attention(machine: Machine) -> CheckResult:
    """Return which attention back ends can run, and which `auto` selects."""
    try:
        device = torch_device(machine.device)
    except InputError as error:
        return CheckResult("attention", SKIP, str(error))
    import torch

    from virnucpro.models import attention

    dtype = torch.float16 if device.type == "cuda" else torch.float32
    schemes = {
        "ESM-2": attention.Scheme(40, 64),
        "DNABERT-S": attention.Scheme(12, 64, slopes=(0.5,) * 12),
    }
    texts, is_fast = [], True
    for model, scheme in schemes.items():
        reasons = {n: attention.why_not(n, scheme, device, dtype) for n in attention.BACKENDS}
        usable = ", ".join(name for name, reason in reasons.items() if not reason)
        selected = attention.choose("auto", scheme, device, dtype)
        is_fast &= device.type == "cpu" or selected == "triton"
        texts.append(f"{model}: {selected} (of {usable})")
    if device.type == "cpu":
        texts.append(f"{os.cpu_count()} CPUs")
    found = "; ".join(texts)
    if not is_fast:
        remedy = f"It is several times slower. {attention.why_no_triton(device)}"
        return CheckResult("attention", WARN, found, remedy)
    return CheckResult("attention", OK, found)
