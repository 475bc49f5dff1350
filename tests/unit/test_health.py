"""virnucpro health: what each check says when all is well, and when it is not."""

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
import pytest
import torch

from virnucpro.cli import health as command
from virnucpro.cli.main import main
from virnucpro.engine import device as devices
from virnucpro.errors import InputError
from virnucpro.health import checks, device, forward, places, programs, software
from virnucpro.health.finding import FAIL, OK, SKIP, WARN, Finding, Machine, ask

ROOT = Path(__file__).resolve().parents[2]
Usage = namedtuple("Usage", "total used free")
JAVA = """echo 'openjdk version "{}" 2025-04-15' >&2"""


@pytest.fixture
def machine(tmp_path):
    """A machine of this checkout whose PATH holds no program but the basics."""
    path = tmp_path / "bin"
    path.mkdir()
    for name in ("bash", "dirname", "sed", "env", "sleep"):
        (path / name).symlink_to(shutil.which(name))
    (tmp_path / "launch").mkdir()
    environment = {"PATH": str(path), "TMPDIR": str(tmp_path), "NXF_RUNTIME": str(tmp_path)}
    return Machine(ROOT, "cpu", None, environment, tmp_path / "launch")


def add(machine, **stand_ins):
    """Put programs on PATH: name = bash text."""
    for name, text in stand_ins.items():
        path = Path(machine.environment["PATH"]) / name.replace("_", "-")
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)


def replaced(machine, **changes):
    return Machine(**{**vars(machine), **changes})


def expect(finding, status, found="", remedy=""):
    assert finding.status == status, finding
    assert found in finding.found, finding
    assert remedy in finding.remedy, finding
    assert finding.remedy or status in (OK, SKIP)


def test_python(machine, monkeypatch):
    expect(software.check_python(machine), OK, sys.executable)
    monkeypatch.setattr(software, "FIRST_PYTHON", (4, 0))
    expect(software.check_python(machine), FAIL, remedy="Install Python 3.10 or newer")


def test_packages(machine, monkeypatch):
    real = software.installed
    versions = {"h5py": "3.16.0"}
    monkeypatch.setattr(software, "installed", lambda n: versions[n] if n in versions else real(n))
    lock = (ROOT / "containers/gpu/requirements.txt").read_text()
    versions.update({n: min(v) for n, v in software.locked_versions(lock).items()})
    expect(software.check_packages(machine), OK, "as locked, with torch")
    versions["h5py"] = "1.2.3"
    expect(software.check_packages(machine), WARN, "h5py 1.2.3 (locked: 3.16.0)", "make setup")
    versions["h5py"] = None
    expect(software.check_packages(machine), FAIL, "h5py not installed", "make setup")
    versions["h5py"] = "3.16.0"
    versions["tokenizers"] = None
    expect(software.check_packages(machine), FAIL, "tokenizers not installed")
    versions["torch"] = None
    expect(software.check_packages(machine), OK, "those of the CPU image")
    expect(software.check_packages(replaced(machine, pipeline=None)), SKIP, "no checkout")


def test_several_versions_may_be_locked():
    text = "numpy==2.2.6 ; python_full_version < '3.11' \\\n    --hash=sha256:0\nnumpy==2.4.6 ; x\n"
    assert software.locked_versions(text) == {"numpy": {"2.2.6", "2.4.6"}}


def test_library(machine, tmp_path):
    expect(software.check_library(machine), OK, f"that of {ROOT}")
    expect(software.check_library(replaced(machine, pipeline=None)), SKIP)
    shutil.copytree(ROOT / "src/virnucpro", tmp_path / "other/src/virnucpro")
    other = replaced(machine, pipeline=tmp_path / "other")
    expect(software.check_library(other), OK, "the same as")
    (tmp_path / "other/src/virnucpro/task.py").write_text("")
    (tmp_path / "other/src/virnucpro/new.py").touch()
    expect(software.check_library(other), FAIL, "in 2 files (new.py)", "Tasks would refuse it")


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
    expect(charliecloud, WARN, "$USER not set", "Mend it")
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


def test_a_program_that_hangs_is_given_up(machine):
    add(machine, slow="exec sleep 9")
    assert ask(["slow"], machine.environment, 0.1).text == "no answer in 0.1 s"
    assert ask(["gone"], machine.environment).status is None


def folder_findings(machine):
    return {finding.check: finding for finding in places.check_folders(machine)}


def test_folders(machine, tmp_path, monkeypatch):
    free = SimpleNamespace(gib=30.0)
    monkeypatch.setattr(places.shutil, "disk_usage", lambda _: Usage(0, 0, free.gib * places.GIB))
    found = folder_findings(machine)
    assert list(found) == ["folder work", "folder cache", "folder tmp"]
    expect(found["folder work"], OK, f"{tmp_path}/launch/work: 30.0 GiB free")
    free.gib = 10
    expect(folder_findings(machine)["folder work"], WARN, "10.0 GiB free", "-work-dir")
    free.gib = 0.5
    for finding in folder_findings(machine).values():
        expect(finding, FAIL, "0.5 GiB free")
    free.gib = 30
    elsewhere = {**machine.environment, "TMPDIR": str(tmp_path / "file"), "NXF_WORK": "/w"}
    (tmp_path / "file").touch()
    found = folder_findings(replaced(machine, environment=elsewhere))
    expect(found["folder tmp"], FAIL, "is not yours to write", "Set TMPDIR")
    expect(found["folder cache"], FAIL, "is not yours to write", "--cache_dir")
    expect(found["folder work"], OK, "/w: 30")


def test_a_cache_of_another_user(machine, tmp_path, monkeypatch):
    monkeypatch.setattr(places.getpass, "getuser", lambda: "me")
    (tmp_path / "virnucpro-me").mkdir()
    monkeypatch.setattr(places.os, "geteuid", lambda: 54321)
    expect(folder_findings(machine)["folder cache"], FAIL, "is another user's", "--cache_dir")


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
    found = [device.check_gpu(machine), device.check_compiler(machine)]
    found += [device.check_attention(machine), *forward.check_forward(machine)]
    for finding in found:
        expect(finding, SKIP, "torch is not installed")


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
    """A GPU of which only the description is asked."""
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
    expect(device.check_compiler(replaced(auto, environment=named)), WARN, "CC=mycc is not there")
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
    components = forward.read_components(ROOT / forward.EMBEDDED)
    return forward.read_expectation(ROOT / forward.EXPECTATION, components)


def test_the_forward_pass_gives_what_is_stored(machine):
    (finding,) = forward.check_forward(machine)
    expect(finding, OK, "compact-500 on cpu in fp32: vectors differ by ")


def test_another_set_must_agree_with_itself(machine):
    given = replaced(machine, model_set=ROOT / forward.EMBEDDED)
    (finding,) = forward.check_forward(given)
    expect(finding, OK, "two passes agree to the last bit")


def shifted(value, gap):
    vectors = {name: rows.copy() for name, rows in value.vectors.items()}
    vectors["esm2"][1, 2] += gap
    return forward.Forward(vectors, value.p_virus.copy())


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
    found = shifted(expected, gap)
    if near:
        assert "cosine" in forward.compare(found, expected, precision)
    else:
        with pytest.raises(InputError, match="too far from what is expected"):
            forward.compare(found, expected, precision)


def test_scores_count_too(expected):
    other = forward.Forward(expected.vectors, expected.p_virus + np.float32(1e-3))
    assert forward.compare(other, expected, "fp16")
    with pytest.raises(InputError, match="scores by 1.0e-03"):
        forward.compare(other, expected, "fp32")


def test_two_passes_that_differ(expected):
    assert forward.repeat(expected, expected)
    with pytest.raises(InputError, match="the GPU or its driver is faulty"):
        forward.repeat(expected, shifted(expected, 1e-6))
    with pytest.raises(InputError, match="not finite"):
        forward.repeat(*[shifted(expected, np.inf)] * 2)


def test_a_forward_pass_that_fails(machine, tmp_path, monkeypatch):
    (finding,) = forward.check_forward(replaced(machine, model_set=tmp_path))
    expect(finding, FAIL, "there is no modelset.json", "Copy or fetch the model set again")
    monkeypatch.setattr(forward, "EXPECTATION", "nowhere.json")
    expect(next(forward.check_forward(machine)), FAIL, "cannot be read")
    stale = json.loads((ROOT / "assets/health/compact-500.json").read_text())
    stale["components"]["esm2"] = "0"
    (tmp_path / "stale.json").write_text(json.dumps(stale))
    monkeypatch.setattr(forward, "EXPECTATION", tmp_path / "stale.json")
    expect(next(forward.check_forward(machine)), FAIL, "is of other files than the model set")

    def run_out(*_):
        raise RuntimeError("CUDA error: unspecified\nmore")

    monkeypatch.setattr(forward, "run_frames", run_out)
    expect(next(forward.check_forward(machine)), FAIL, "in fp32: CUDA error: unspecified")
    monkeypatch.setattr(forward, "run_frames", lambda *_: {}["no such kernel"])
    expect(next(forward.check_forward(machine)), FAIL, "in fp32: 'no such kernel'")
    none = replaced(machine, pipeline=None)
    expect(next(forward.check_forward(none)), SKIP, "no model set", "Give --model-set")


def test_the_report_and_its_exit_status(monkeypatch, capsys):
    found = [Finding("a", OK, "fine"), Finding("b", WARN, "odd", "look")]
    monkeypatch.setattr(checks, "CHECKS", (lambda machine: found, lambda machine: iter(())))
    assert main(["health"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "ok    a              fine",
        "warn  b              odd",
        "                     -> look",
        "1 ok, 1 warn, 0 FAIL, 0 skip",
    ]
    found.append(Finding("c", FAIL, "gone", "get it"))
    assert main(["health", "--json"]) == 1
    rows = json.loads(capsys.readouterr().out)
    assert rows[-1] == {"check": "c", "status": "FAIL", "found": "gone", "remedy": "get it"}


def test_options_reach_the_checks(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(checks, "CHECKS", (lambda machine: seen.append(machine) or (),))
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
