import json

import pytest
import torch

from virnucpro.engine import device as devices
from virnucpro.engine import memory
from virnucpro.errors import InputError

CPU = torch.device("cpu")
CUDA = torch.device("cuda")


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(devices, "_driver_cuda", lambda: 13000)


def test_auto_without_a_gpu_is_the_cpu(no_gpu, monkeypatch):
    monkeypatch.setattr(devices, "_gpu_is_there", lambda: False)
    assert devices.choose_device("auto") == CPU


def test_auto_never_passes_over_a_gpu_that_is_there(no_gpu, monkeypatch):
    monkeypatch.setattr(devices, "_gpu_is_there", lambda: True)
    monkeypatch.setattr(devices, "_driver_cuda", lambda: 12020)
    with pytest.raises(InputError, match="supports CUDA 12.2, this torch needs CUDA 13.0"):
        devices.choose_device("auto")


def test_the_driver_is_asked_for_its_version():
    """The real one: 0 on a machine without a driver, else 1000 * major + ..."""
    version = devices._driver_cuda()
    assert version == 0 or version >= 11000


@pytest.mark.parametrize("name, expected", [("auto", CUDA), ("cuda", CUDA), ("cpu", CPU)])
def test_choice_with_a_gpu(monkeypatch, name, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert devices.choose_device(name) == expected


@pytest.mark.parametrize("visible", ["", "-1", "NoDevFiles"])
def test_hidden_gpus_are_the_reason(no_gpu, monkeypatch, visible):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(InputError, match=f"CUDA_VISIBLE_DEVICES is '{visible}', which hides"):
        devices.choose_device("cuda")


@pytest.mark.parametrize(
    "driver, built_for, message",
    [
        (0, "13.0", "no NVIDIA driver is visible.*--nv"),
        (12040, "13.0", r"supports CUDA 12\.4, this torch needs CUDA 13\.0.*580 or later"),
        (13000, None, "built without CUDA"),
    ],
)
def test_the_driver_is_the_reason(no_gpu, monkeypatch, driver, built_for, message):
    monkeypatch.setattr(devices, "_driver_cuda", lambda: driver)
    monkeypatch.setattr(torch.version, "cuda", built_for)
    with pytest.raises(InputError, match=message):
        devices.choose_device("cuda")


def test_a_failing_start_of_cuda_is_the_reason(no_gpu, monkeypatch):
    def fail():
        raise RuntimeError("system not yet initialized\nmore lines")

    monkeypatch.setattr(torch.cuda, "init", fail)
    assert devices.unusable_reason() == "CUDA does not start: system not yet initialized"


@pytest.mark.parametrize(
    "name, device, expected",
    [
        ("auto", CPU, "fp32"),
        ("fp32", CPU, "fp32"),
        ("auto", CUDA, "fp16"),
        ("bf16", CUDA, "bf16"),
        ("fp32", CUDA, "fp32"),
    ],
)
def test_precision(name, device, expected):
    assert devices.choose_precision(name, device) == expected


@pytest.mark.parametrize("name", ["fp16", "tf32", "fp8"])
def test_a_precision_that_a_cpu_lacks_is_refused(name):
    with pytest.raises(InputError, match=f"--precision {name}: a CPU computes in fp32 or bf16"):
        devices.choose_precision(name, CPU)


def test_tf32_is_refused_where_it_would_be_fp32(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    with pytest.raises(InputError, match="tf32: needs compute capability 8.0 or newer. Use fp32"):
        devices.choose_precision("tf32", CUDA)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 0))
    assert devices.choose_precision("tf32", CUDA) == "tf32"


def test_the_key_names_everything_and_is_json():
    key = devices.numerics_key(CPU, "fp32", 2048, "plain", "sdpa")
    assert set(key) == {
        "attention", "device", "engine", "path", "precision", "token_budget", "torch"
    }  # fmt: skip
    assert json.loads(json.dumps(key)) == key
    assert key["device"].startswith("cpu ") and key["token_budget"] == 2048


@pytest.mark.parametrize(
    "switch",
    [
        "allow_tf32",
        "allow_fp16_reduced_precision_reduction",
        "allow_bf16_reduced_precision_reduction",
    ],
)
def test_sums_of_lower_precision_are_switched_off(switch):
    setattr(torch.backends.cuda.matmul, switch, True)
    devices.fix_numerics()
    assert not getattr(torch.backends.cuda.matmul, switch)


@pytest.mark.parametrize(
    "free_gib, reserved_gib, expected",
    [(70, 9, False), (10, 68, False), (40, 5, True)],  # of 80: 1, 2 and 35 are others'
)
def test_others_on_the_gpu(monkeypatch, free_gib, reserved_gib, expected):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free_gib << 30, 80 << 30))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: reserved_gib << 30)
    assert memory.is_shared(CUDA) == expected
    assert not memory.is_shared(CPU)
