"""virnucpro health: the result of each check, when all is well and when it is not."""

import builtins
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import packaging.markers
import pytest
import torch

from virnucpro.cli import health as command
from virnucpro.cli.main import main
from virnucpro.engine import device as devices
from virnucpro.errors import InputError
from virnucpro.health import check_result, device, forward, places, programs, software
from virnucpro.health.check_result import FAIL, OK, SKIP, WARN, CheckResult, Machine, run_program

ROOT = Path(__file__).resolve().parents[2]
Usage = namedtuple("Usage", "total used free")
JAVA = """echo 'openjdk version "{}" 2025-04-15' >&2"""


@pytest.fixture
def machine(tmp_path):
    """A machine with this checkout, whose PATH has only the basic programs."""
    path = tmp_path / "bin"
    path.mkdir()
    for name in ("bash", "dirname", "sed", "env", "sleep"):
        (path / name).symlink_to(shutil.which(name))
    (tmp_path / "launch").mkdir()
    environment = {"PATH": str(path), "TMPDIR": str(tmp_path), "NXF_RUNTIME": str(tmp_path)}
    return Machine(ROOT, "cpu", None, environment, tmp_path / "launch")


def add(machine, **programs):
    """Put programs on PATH: name = bash text."""
    for name, text in programs.items():
        path = Path(machine.environment["PATH"]) / name.replace("_", "-")
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)


def replaced(machine, **changes):
    return Machine(**{**vars(machine), **changes})


def expect(result, status, found="", remedy=""):
    assert result.status == status, result
    assert found in result.found, result
    assert remedy in result.remedy, result
    assert result.remedy or status in (OK, SKIP)


def test_python(machine, monkeypatch):
    expect(software.check_python(machine), OK, sys.executable)
    monkeypatch.setattr(software, "MIN_PYTHON", (4, 0))
    expect(software.check_python(machine), FAIL, remedy="Install Python 3.10 or newer")


def test_packages(machine, monkeypatch):
    versions = {}
    monkeypatch.setattr(software, "installed_version", versions.get)
    expect(software.check_packages(machine), FAIL, "dnaio, h5py, jsonschema, numpy", "make setup")
    versions.update(
        software.locked_versions((ROOT / "containers/gpu/requirements.txt").read_text())
    )
    h5py = versions["h5py"]
    expect(software.check_packages(machine), OK, "as locked, those of the gpu image")
    versions["h5py"] = "1.2.3"
    expect(software.check_packages(machine), WARN, f"h5py 1.2.3 (locked: {h5py})", "make setup")
    versions["h5py"] = None
    expect(software.check_packages(machine), FAIL, "h5py not installed", "make setup")
    versions["h5py"] = h5py
    versions["tokenizers"] = None
    expect(software.check_packages(machine), FAIL, "tokenizers not installed")
    versions["torch"] = None
    expect(software.check_packages(machine), OK, "those of the cpu image")
    expect(software.check_packages(replaced(machine, pipeline=None)), SKIP, "no checkout")


@pytest.mark.parametrize(
    "python, names, numpy",
    [("3.10", ["numpy", "tomli"], "2.2.6"), ("3.11", ["numpy"], "2.4.6")],
)
def test_markers_select_the_requirements_of_this_python(monkeypatch, python, names, numpy):
    environment = {"python_version": python, "python_full_version": f"{python}.7", "extra": ""}
    monkeypatch.setattr(packaging.markers, "default_environment", lambda: environment)
    lines = ["numpy", 'tomli; python_version < "3.11"', "torch>=2.11; extra == 'gpu'"]
    assert [r.name for r in software.needed_here(lines)] == names
    assert [r.name for r in software.needed_here(lines, extra="gpu")] == [*names, "torch"]
    lock = "numpy==2.2.6 ; python_full_version < '3.11'\n    # via h5py\n"
    lock += "numpy==2.4.6 ; python_full_version >= '3.11'\n"
    assert software.locked_versions(lock) == {"numpy": numpy}


def test_library(machine, tmp_path):
    expect(software.check_installed_library(machine), OK, f"at {ROOT}/src/virnucpro, which is the ")
    expect(software.check_installed_library(replaced(machine, pipeline=None)), SKIP)
    shutil.copytree(ROOT / "src/virnucpro", tmp_path / "other/src/virnucpro")
    other = replaced(machine, pipeline=tmp_path / "other")
    expect(software.check_installed_library(other), OK, "the same as")
    (tmp_path / "other/src/virnucpro/task.py").write_text("")
    (tmp_path / "other/src/virnucpro/new.py").touch()
    expect(
        software.check_installed_library(other),
        FAIL,
        "in 2 files (new.py)",
        "Tasks would refuse it",
    )


@pytest.mark.parametrize(
    "text, status, found",
    [
        (JAVA.format("17.0.15"), OK, "17.0.15"),
        (JAVA.format("1.8.0_392"), FAIL, "1.8.0_392"),
        ("echo broken", FAIL, "broken"),
        (None, FAIL, "not on PATH"),
    ],
)
def test_java(machine, text, status, found):
    if text:
        add(machine, java=text)
    expect(programs.check_java(machine), status, found, "" if status == OK else "Java 17 or newer")
    in_image = programs.check_java(replaced(machine, pipeline=None))
    expect(in_image, status if text else SKIP, found)


def test_nextflow(machine, tmp_path):
    remedy = "Run `make setup`"
    expect(programs.check_nextflow(machine), FAIL, "is not assembled yet", remedy)
    add(machine, nextflow="echo nextflow version 24.10.5.1")  # too old: not taken
    expect(programs.check_nextflow(machine), FAIL, "is not assembled yet", remedy)
    without = replaced(machine, pipeline=None)
    expect(programs.check_nextflow(without), FAIL, "version 24.10.5.1", remedy)
    add(machine, nextflow="echo nextflow version 25.04.4.5949")
    expect(programs.check_nextflow(machine), OK, f"version 25.04.4.5949 ({tmp_path}")
    add(machine, nextflow="echo Cannot find Java; exit 1")
    expect(programs.check_nextflow(without), FAIL, "Cannot find Java", remedy)
    (tmp_path / "bin/nextflow").unlink()
    expect(programs.check_nextflow(without), SKIP, "only the machine that starts runs needs it")


def test_containers(machine):
    (none,) = programs.check_containers(machine)
    expect(none, OK, "no engine on PATH")
    add(
        machine,
        docker="case $1 in --version) echo Docker 28;; *) echo no daemon; exit 1;; esac",
        podman="case $* in *virnucpro-gpu*) exit 1;; --version) echo podman 4;; esac",
        apptainer="echo apptainer 1.3",
        ch_run="echo '$USER not set'; exit 1",
    )
    docker, podman, apptainer, charliecloud = programs.check_containers(machine)
    expect(docker, WARN, "Docker 28, which does not work: no daemon", "do not use -profile docker")
    expect(podman, WARN, "podman 4; without virnucpro-gpu:0.1.0", "make images")
    expect(apptainer, OK, "apptainer 1.3; images are files")
    expect(charliecloud, WARN, "$USER not set", "Fix it")
    add(machine, podman="echo podman 4")
    expect(list(programs.check_containers(machine))[1], OK, "virnucpro-cpu:0.1.0, virnucpro-gpu:")


def test_slurm(machine):
    expect(programs.check_slurm(machine), SKIP, "not on PATH")
    add(machine, sbatch="echo warning; echo slurm 22.05", squeue="echo 1; echo 2")
    expect(programs.check_slurm(machine), WARN, "scancel not on PATH", "Load SLURM's module")
    add(machine, scancel="")
    expect(programs.check_slurm(machine), OK, "slurm 22.05; 2 jobs of yours")
    add(machine, squeue="echo no controller; exit 1")
    expect(programs.check_slurm(machine), WARN, "slurm 22.05, which does not answer: no controller")


def test_a_program_that_hangs_is_stopped(machine, monkeypatch):
    monkeypatch.setattr(check_result, "PROGRAM_TIMEOUT_S", 0.1)
    add(machine, slow="exec sleep 9")
    assert run_program(["slow"], machine.environment).text == "no answer in 0.1 s"
    assert run_program(["gone"], machine.environment).status is None


def folder_results(machine):
    return {result.check: result for result in places.check_folders(machine)}


def test_folders(machine, tmp_path, monkeypatch):
    free = SimpleNamespace(gib=30.0)
    monkeypatch.setattr(places.shutil, "disk_usage", lambda _: Usage(0, 0, free.gib * places.GIB))
    results = folder_results(machine)
    assert list(results) == ["folder work", "folder cache", "folder tmp"]
    expect(results["folder work"], OK, f"{tmp_path}/launch/work: 30.0 GiB free")
    free.gib = 10
    expect(folder_results(machine)["folder work"], WARN, "10.0 GiB free", "-work-dir")
    free.gib = 0.5
    for result in folder_results(machine).values():
        expect(result, FAIL, "0.5 GiB free")
    free.gib = 30
    elsewhere = {**machine.environment, "TMPDIR": str(tmp_path / "file"), "NXF_WORK": "/w"}
    (tmp_path / "file").touch()
    results = folder_results(replaced(machine, environment=elsewhere))
    expect(results["folder tmp"], FAIL, "is not writable", "Set TMPDIR")
    expect(results["folder cache"], FAIL, "is not writable", "--cache_dir")
    expect(results["folder work"], OK, "/w: 30")


def test_a_cache_of_another_user(machine, tmp_path, monkeypatch):
    monkeypatch.setattr(places.getpass, "getuser", lambda: "me")
    (tmp_path / "virnucpro-me").mkdir()
    monkeypatch.setattr(places.os, "geteuid", lambda: 54321)
    expect(folder_results(machine)["folder cache"], FAIL, "belongs to another user", "--cache_dir")


def test_shared_memory(machine, tmp_path, monkeypatch):
    monkeypatch.setattr(places, "SHARED_MEMORY", tmp_path)
    expect(places.check_shared_memory(machine), OK, "GiB free")
    monkeypatch.setattr(places.shutil, "disk_usage", lambda _: Usage(0, 0, 1 << 20))
    expect(places.check_shared_memory(machine), WARN, "0.00 GiB free", "--shm-size")
    monkeypatch.setattr(places, "SHARED_MEMORY", tmp_path / "none")
    expect(places.check_shared_memory(machine), WARN, "there is no", "--shm-size")


@pytest.mark.parametrize(
    "environ, status, found",
    [
        (b"LANG=C.UTF-8\0", OK, "LANG=C.UTF-8"),
        (b"LANG=C.UTF-8\0LC_ALL=POSIX\0", WARN, "LC_ALL=POSIX is not UTF-8"),
        (b"LC_ALL=\0LC_CTYPE=en_GB.utf8\0", OK, "LC_CTYPE=en_GB.utf8"),
        (b"HOME=/\0", WARN, "none is set"),
        (None, SKIP, "there is no"),
    ],
)
def test_locale(machine, tmp_path, monkeypatch, environ, status, found):
    if environ is not None:
        (tmp_path / "environ").write_bytes(environ)
    monkeypatch.setattr(places, "START_ENVIRONMENT", tmp_path / "environ")
    remedy = "LC_ALL=C.UTF-8" if status == WARN else ""
    expect(places.check_locale(machine), status, found, remedy)


@pytest.fixture
def no_torch(monkeypatch):
    """Hide torch, as in the CPU image."""
    real_spec, real_import = importlib.util.find_spec, builtins.__import__

    def import_(name, *rest):
        if name.split(".")[0] == "torch":
            raise ImportError("no torch here")
        return real_import(name, *rest)

    for name in [n for n in sys.modules if n.split(".")[0] == "torch" or n.startswith("virnucpro.engine")]:  # fmt: skip
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", import_)
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *r: None if name == "torch" else real_spec(name, *r),
    )


def test_without_torch_its_checks_are_skipped_with_a_reason(no_torch, machine):
    results = [device.check_gpu(machine), device.check_compiler(machine)]
    results += [device.check_attention(machine), *forward.check_forward(machine)]
    for result in results:
        expect(result, SKIP, "torch is not installed")


def test_a_broken_torch_is_a_failure(machine, monkeypatch):
    monkeypatch.setitem(sys.modules, "virnucpro.engine.device", None)
    expect(device.check_gpu(machine), FAIL, "torch cannot be imported", "make setup")
    expect(device.check_attention(machine), SKIP, "see the check of the GPU")


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(devices, "_driver_cuda", lambda: 0)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_no_gpu(no_gpu, machine, monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    expect(device.check_gpu(machine), SKIP, "--device cpu")
    auto, cuda = (replaced(machine, device=name) for name in ("auto", "cuda"))
    expect(device.check_gpu(auto), WARN, "no NVIDIA driver", "Run on a machine with a GPU")
    expect(device.check_gpu(cuda), FAIL, "--device cuda: no NVIDIA driver", "Run on a machine")
    expect(device.check_compiler(cuda), SKIP, "see the check of the GPU")
    assert [f.status for f in forward.check_forward(cuda)] == [SKIP]


@pytest.fixture
def gpu(monkeypatch):
    """A GPU that has only a description."""
    card = SimpleNamespace(name="Fake", major=9, minor=0)
    memory = SimpleNamespace(free=70 << 30)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: card)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (card.major, card.minor))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (memory.free, 80 << 30))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    return card, memory


def test_a_gpu(gpu, machine):
    card, memory = gpu
    auto = replaced(machine, device="auto")
    add(machine, nvidia_smi="echo 580.95")
    expect(device.check_gpu(auto), OK, "Fake, capability 9.0, 70.0 of 80.0 GiB free, driver 580.95")
    memory.free = 1 << 30
    expect(device.check_gpu(auto), WARN, "1.0 of 80.0 GiB free", "Another program may hold it")
    card.major = 6
    expect(device.check_gpu(auto), FAIL, "capability 6.0", "too old for this torch")


def test_the_compiler_matters_on_a_gpu(gpu, machine):
    auto = replaced(machine, device="auto")
    expect(device.check_compiler(machine), SKIP, "the CPU needs none")
    expect(device.check_compiler(auto), WARN, "neither gcc nor clang", "Install gcc")
    named = {**machine.environment, "CC": "mycc"}
    expect(device.check_compiler(replaced(auto, environment=named)), WARN, "CC=mycc does not exist")
    add(machine, clang="")
    expect(device.check_compiler(auto), OK, "clang")


def test_attention(gpu, machine, monkeypatch):
    expect(device.check_attention(machine), OK, "ESM-2: sdpa (of reference, sdpa)")
    auto = replaced(machine, device="auto")
    add(machine, gcc="")
    monkeypatch.setenv("CC", "gcc")
    expect(device.check_attention(auto), OK, "DNABERT-S: triton (of ")
    gpu[0].major = 7
    expect(device.check_attention(auto), WARN, "ESM-2: sdpa", "Triton needs compute capability")


@pytest.fixture(scope="module")
def expected():
    model_set = forward.read_model_set(ROOT / forward.BUNDLED_SET)
    return forward.read_expectation(ROOT / forward.EXPECTATION, model_set)


def test_the_forward_pass_gives_what_is_stored(machine):
    (result,) = forward.check_forward(machine)
    expect(result, OK, "compact-500 on cpu in fp32: vectors differ by ")


def test_another_set_must_agree_with_itself(machine):
    given = replaced(machine, model_set=ROOT / forward.BUNDLED_SET)
    (result,) = forward.check_forward(given)
    expect(result, OK, "two passes agree to the last bit")


def shifted(value, gap):
    vectors = {name: rows.copy() for name, rows in value.vectors.items()}
    vectors["esm2"][1, 2] += gap
    return forward.ForwardResult(vectors, value.p_virus.copy())


@pytest.mark.parametrize(
    "gap, precision, near",
    [
        (5e-5, "fp32", True),
        (2e-4, "fp32", False),
        (2e-2, "fp16", True),
        (0.5, "fp16", False),
        (np.nan, "fp32", False),
        (np.nan, "fp16", False),
    ],
)
def test_how_far_vectors_may_be(expected, gap, precision, near):
    actual = shifted(expected, gap)
    if near:
        assert "cosine" in forward.check_expected(actual, expected, precision)
    else:
        with pytest.raises(InputError, match="too far from the expected values"):
            forward.check_expected(actual, expected, precision)


def test_scores_count_too(expected):
    other = forward.ForwardResult(expected.vectors, expected.p_virus + np.float32(1e-3))
    assert forward.check_expected(other, expected, "fp16")
    with pytest.raises(InputError, match="scores by 1.0e-03"):
        forward.check_expected(other, expected, "fp32")


def test_two_passes_that_differ(expected):
    assert forward.check_equal(expected, expected)
    with pytest.raises(InputError, match="the GPU or its driver is faulty"):
        forward.check_equal(expected, shifted(expected, 1e-6))
    with pytest.raises(InputError, match="not finite"):
        forward.check_equal(*[shifted(expected, np.inf)] * 2)


def test_a_forward_pass_that_fails(machine, tmp_path, monkeypatch):
    (result,) = forward.check_forward(replaced(machine, model_set=tmp_path))
    expect(result, FAIL, "there is no modelset.json", "Copy or fetch the model set again")
    monkeypatch.setattr(forward, "EXPECTATION", "nowhere.json")
    expect(next(forward.check_forward(machine)), FAIL, "cannot be read")
    stale = json.loads((ROOT / "assets/health/compact-500.json").read_text())
    stale["components"]["esm2"] = "0"
    (tmp_path / "stale.json").write_text(json.dumps(stale))
    monkeypatch.setattr(forward, "EXPECTATION", tmp_path / "stale.json")
    expect(
        next(forward.check_forward(machine)), FAIL, "belongs to another version of the model set"
    )

    def run_out(*_):
        raise RuntimeError("CUDA error: unspecified\nmore")

    monkeypatch.setattr(forward, "run_frames", run_out)
    expect(next(forward.check_forward(machine)), FAIL, "in fp32: CUDA error: unspecified")
    monkeypatch.setattr(forward, "run_frames", lambda *_: {}["no such kernel"])
    expect(next(forward.check_forward(machine)), FAIL, "in fp32: 'no such kernel'")
    none = replaced(machine, pipeline=None)
    expect(next(forward.check_forward(none)), SKIP, "no model set", "Give --model-set")


def test_the_report_and_its_exit_status(monkeypatch, capsys):
    results = [CheckResult("a", OK, "fine"), CheckResult("b", WARN, "odd", "look")]
    monkeypatch.setattr(command, "CHECKS", (lambda machine: results, lambda machine: iter(())))
    assert main(["health"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "ok    a              fine",
        "warn  b              odd",
        "                     -> look",
        "1 ok, 1 warn, 0 FAIL, 0 skip",
    ]
    results.append(CheckResult("c", FAIL, "gone", "get it"))
    assert main(["health", "--json"]) == 1
    rows = json.loads(capsys.readouterr().out)
    assert rows[-1] == {"check": "c", "status": "FAIL", "found": "gone", "remedy": "get it"}


def test_options_reach_the_checks(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(command, "CHECKS", (lambda machine: seen.append(machine) or (),))
    monkeypatch.setattr(command, "checkout", lambda: None)
    monkeypatch.delenv("VIRNUCPRO_PIPELINE", raising=False)
    main(["health", "--device", "cuda", "--model-set", "set"])
    assert (seen[0].device, seen[0].model_set, seen[0].pipeline) == ("cuda", Path("set"), None)
    main(["health", "--pipeline", str(ROOT)])
    assert (seen[1].device, seen[1].model_set, seen[1].pipeline) == ("auto", None, ROOT)
    monkeypatch.setenv("VIRNUCPRO_PIPELINE", str(ROOT))
    main(["health"])
    assert seen[2].pipeline == ROOT
    assert main(["health", "--pipeline", str(tmp_path)]) == 2


def test_help_of_all_commands_needs_no_torch():
    code = "import sys; from virnucpro.cli.main import main, COMMANDS\ntry: main(['--help'])\n"
    code += "except SystemExit: assert 'torch' not in sys.modules and 'health' in COMMANDS"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, capture_output=True)
