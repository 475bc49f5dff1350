"""torch, the GPU and what it computes with. Only these checks need torch, and import it."""

import importlib.util
import os
import shutil
from typing import TYPE_CHECKING

from virnucpro.errors import InputError
from virnucpro.health.finding import FAIL, OK, SKIP, WARN, Finding, Machine, ask

if TYPE_CHECKING:
    import torch

GIB = 1 << 30
FIRST_CAPABILITY = (7, 5)  # of the GPUs that this torch has code for
LEAST_FREE_GPU = 10 * GIB  # ESM-2 3B in half precision, and a batch
NO_TORCH = "torch is not installed: this is no environment for the embedding steps"


class NoDeviceError(Exception):
    """There is no device to check with; the text says why."""


def torch_device(name: str) -> "torch.device":
    """Return the device that a task would take.

    Raises: NoDeviceError without torch or a usable device.
    """
    if importlib.util.find_spec("torch") is None:
        raise NoDeviceError(NO_TORCH)
    try:
        from virnucpro.engine.device import choose_device

        return choose_device(name)
    except (InputError, ImportError, OSError) as error:
        raise NoDeviceError("see the check of the GPU") from error


def check_gpu(machine: Machine) -> Finding:
    """Return which GPU a task would use, or why none."""
    if importlib.util.find_spec("torch") is None:
        return Finding("gpu", SKIP, NO_TORCH)
    try:
        import torch

        from virnucpro.engine.device import choose_device, unusable_reason
    except (ImportError, OSError) as error:
        remedy = "Run `make setup` again, or use the GPU image."
        return Finding("gpu", FAIL, f"torch cannot be imported: {error}", remedy)
    if machine.device == "cpu":
        return Finding("gpu", SKIP, "--device cpu")
    try:
        device = choose_device(machine.device)
    except InputError as error:
        found, _, remedy = str(error).partition(". ")
        return Finding("gpu", FAIL, found, remedy)
    if device.type == "cpu":
        reason, _, remedy = unusable_reason().partition(". ")
        return Finding("gpu", WARN, f"none, the CPU will compute: {reason}", remedy)
    card = torch.cuda.get_device_properties(device)
    free, total = torch.cuda.mem_get_info(device)
    driver = ask(
        ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"], machine.environment
    )
    found = (
        f"{card.name}, capability {card.major}.{card.minor}, {free / GIB:.1f} of "
        f"{total / GIB:.1f} GiB free, driver {(driver.text.splitlines() or ['unknown'])[0]}, "
        f"torch {torch.__version__}, {torch.cuda.device_count()} visible"
    )
    if (card.major, card.minor) < FIRST_CAPABILITY:
        return Finding("gpu", FAIL, found, "It is too old for this torch. Use --device cpu.")
    if free < LEAST_FREE_GPU:
        remedy = (
            "Another program may hold it (nvidia-smi); ESM-2 3B wants 10 GiB, smaller ones less."
        )
        return Finding("gpu", WARN, found, remedy)
    return Finding("gpu", OK, found)


def check_compiler(machine: Machine) -> Finding:
    """Return whether GPU kernels can be compiled."""
    try:
        device = torch_device(machine.device)
    except NoDeviceError as error:
        return Finding("compiler", SKIP, str(error))
    path = machine.environment.get("PATH")
    named = machine.environment.get("CC")
    names = [named] if named else ["gcc", "clang"]
    compiler = next((found for name in names if (found := shutil.which(name, path=path))), None)
    if compiler:
        return Finding("compiler", OK, compiler)
    found = f"CC={named} is not there" if named else "neither gcc nor clang on PATH"
    if device.type == "cpu":
        return Finding("compiler", SKIP, f"{found}; the CPU needs none")
    remedy = "Install gcc, load a module or set CC: without it the slower forward pass runs."
    return Finding("compiler", WARN, found, remedy)


def check_attention(machine: Machine) -> Finding:
    """Return which attention back ends can run, and which `auto` takes."""
    try:
        device = torch_device(machine.device)
    except NoDeviceError as error:
        return Finding("attention", SKIP, str(error))
    import torch

    from virnucpro.models import attention

    dtype = torch.float16 if device.type == "cuda" else torch.float32
    schemes = {
        "ESM-2": attention.Scheme(40, 64),
        "DNABERT-S": attention.Scheme(12, 64, slopes=(0.5,) * 12),
    }
    texts, fast = [], True
    for model, scheme in schemes.items():
        reasons = {n: attention.why_not(n, scheme, device, dtype) for n in attention.BACKENDS}
        usable = ", ".join(name for name, reason in reasons.items() if not reason)
        taken = attention.choose("auto", scheme, device, dtype)
        fast &= device.type == "cpu" or taken == "triton"
        texts.append(f"{model}: {taken} (of {usable})")
    found = (
        f"{'; '.join(texts)}; {os.cpu_count()} CPUs" if device.type == "cpu" else "; ".join(texts)
    )
    if not fast:
        remedy = f"It is some times slower. {attention.why_no_triton(device)}"
        return Finding("attention", WARN, found, remedy)
    return Finding("attention", OK, found)
