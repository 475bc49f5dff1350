"""`models check --certify`: lower precisions against float32 on a set's own weights."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from random_set import write_model_set

from virnucpro.cli import main as cli
from virnucpro.engine.embed_task import LIBRARY
from virnucpro.errors import InputError
from virnucpro.model_diagnostics import certify as certify_module
from virnucpro.model_diagnostics import real_frames as real_frames_module
from virnucpro.model_diagnostics.certify import FLOORS, below_floor, certify
from virnucpro.model_diagnostics.parity import cosines, score_measures, vector_measures
from virnucpro.model_diagnostics.real_frames import NUM_FRAMES, RealFrames, real_frames
from virnucpro.model_sets.certificates import certified_precisions, store_entries, valid_entries
from virnucpro.model_sets.description import read_model_set
from virnucpro.task import library_digest

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def frames():
    """Short ones, all different."""
    rng = np.random.default_rng(0)
    return RealFrames(
        "invented",
        ["".join(rng.choice(list("ACGT"), 46)) for _ in range(500)],
        ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), 15)) for _ in range(500)],
    )


@pytest.fixture
def folder(tmp_path):
    return write_model_set(tmp_path / "set")


def write_frames(folder, frames):
    for suffix, sequences in ((".fna", frames.dna), (".faa", frames.protein)):
        lines = [f">f{n}\n{sequence}\n" for n, sequence in enumerate(sequences)]
        (folder / f"x.frames{suffix}").write_text("".join(lines))
    return folder / "x.frames.faa"


def test_measures_of_vectors():
    exact = np.array([[10, 1], [10, -1], [10, 2], [10, -2]], np.float32)
    actual = exact + np.array([0, 0.5], np.float32)
    result = vector_measures(actual, exact)
    assert result["max_abs"] == 0.5
    assert result["rms"] == pytest.approx(0.5 / 2**0.5)
    assert result["cosine_min"] > 0.997
    # the mean of the exact vectors is [10, 0]
    two = vector_measures(actual[:2], exact[:2])
    assert two["centred_cosine_min"] == 1.0
    turned = vector_measures(exact[:2][::-1], exact[:2])
    assert turned["centred_cosine_min"] == -1.0 and turned["cosine_min"] > 0.98
    assert cosines(exact[:1], exact[:1] * 3) == pytest.approx([1.0])


def test_measures_of_scores():
    exact = np.array([0.1, 0.495, 0.505, 0.6, 0.9], np.float32)
    actual = np.array([0.2, 0.505, 0.495, 0.4, 0.9], np.float32)
    result = score_measures(actual, exact)
    assert result["score_max_abs"] == pytest.approx(0.2)
    assert (result["flips"], result["flips_outside_tie"], result["outside_tie"]) == (3, 1, 3)


GOOD = {"cosine_min": 1.0, "centred_cosine_min": 1.0, "flips_outside_tie": 0, "outside_tie": 1000}


@pytest.mark.parametrize(
    "precision, change, faults",
    [
        ("fp16", {}, []),
        ("fp16", {"cosine_min": 0.99989}, ["cosine min is 0.999890, below 0.9999"]),
        ("fp16", {"centred_cosine_min": 0.99}, ["centred cosine min is 0.990000, below 0.999"]),
        ("fp16", {"flips_outside_tie": 1}, ["1 of 1000 labels change, above 0%"]),
        ("fp8", {"flips_outside_tie": 10, "centred_cosine_min": 0.5}, []),
        ("fp8", {"flips_outside_tie": 11}, ["11 of 1000 labels change, above 1%"]),
        ("fp8", {"cosine_min": float("nan")}, ["cosine min is nan, below 0.999"]),
        ("bf16", {"cosine_min": 0.998}, ["cosine min is 0.998000, below 0.999"]),
    ],
)
def test_the_floor_of_each_precision(precision, change, faults):
    assert below_floor(FLOORS[precision], GOOD | change) == faults


def test_the_command_measures_prints_and_stores(folder, frames, capsys):
    before = (folder / "modelset.json").read_text()
    argv = ["models", "check", str(folder), "--device", "cpu", "--certify"]
    assert cli.main([*argv, "--frames", str(write_frames(folder, frames))]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "against fp32, 500 frames" in lines[5]
    assert [line.split()[:2] for line in lines[7:9]] == [["dnabert_s", "bf16"], ["esm2", "bf16"]]
    assert all(line.endswith("passed") for line in lines[7:9])

    model_set = read_model_set(folder)
    entry = model_set.description["certified"]["bf16"]["esm2"]
    assert entry["passed"] is True and entry["faults"] == [] and entry["frames"] == 500
    assert entry["model_set_digest"] == model_set.digest
    assert entry["library_digest"] == library_digest(LIBRARY)
    assert entry["numerics"]["precision"] == "bf16" and entry["numerics"]["engine"]
    assert entry["device"] and len(entry["date"]) == 10
    assert 0.99 < entry["figures"]["cosine_min"] < 1
    text = (folder / "modelset.json").read_text()
    assert {**json.loads(text), "certified": None} == {**json.loads(before), "certified": None}
    assert certified_precisions(model_set) == ["bf16"]
    assert not list(folder.glob(".*.tmp"))


def test_errors_of_either_encoder_go_through_the_classifier(folder, frames, monkeypatch):
    """A precision that turns DNABERT-S's vectors around changes labels, and ESM-2's does not."""
    real = certify_module._vectors

    def turned(model_set, role, sequences, device, precision):
        vectors, numerics = real(model_set, role, sequences, device, "fp32")
        return (-vectors if (role, precision) == ("dnabert_s", "bf16") else vectors), numerics

    monkeypatch.setattr(certify_module, "_vectors", turned)
    dna, protein = certify(read_model_set(folder), frames, CPU)
    assert dna.role == "dnabert_s" and dna.entry["figures"]["flips_outside_tie"] > 10
    assert not dna.entry["passed"] and "cosine min is -1.000000, below 0.999" in dna.faults
    assert any("labels change, above 1%" in fault for fault in dna.faults)
    assert protein.role == "esm2" and protein.entry["figures"]["max_abs"] == 0
    assert protein.entry["passed"] and protein.entry["figures"]["flips"] == 0


def test_what_cannot_run_here_is_reported_and_not_stored(folder, frames, monkeypatch, capsys):
    monkeypatch.setitem(certify_module.PRECISIONS, ("cpu", "esm2"), ("fp8",))
    real = certify_module.load_engine

    def load(path, sha256, device, precision):
        if precision == "fp8":
            raise InputError("--precision fp8: 8-bit products need a newer GPU. Use fp16.")
        return real(path, sha256, device, precision)

    monkeypatch.setattr(certify_module, "load_engine", load)
    argv = ["models", "check", str(folder), "--device", "cpu", "--certify"]
    assert cli.main([*argv, "--frames", str(write_frames(folder, frames))]) == 0
    assert "cannot be computed here: --precision fp8: 8-bit" in capsys.readouterr().out
    assert list(read_model_set(folder).description["certified"]) == ["bf16"]
    assert list(read_model_set(folder).description["certified"]["bf16"]) == ["dnabert_s"]


def test_memory_that_runs_out_is_a_reason_and_not_a_crash(folder, frames, monkeypatch):
    real = certify_module.load_engine

    def load(path, sha256, device, precision):
        if precision == "bf16" and path.name.startswith("esm2"):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried\nmore")
        return real(path, sha256, device, precision)

    monkeypatch.setattr(certify_module, "load_engine", load)
    dna, protein = certify(read_model_set(folder), frames, CPU)
    assert (
        dna.entry
        and protein.reason == "esm2 in bf16: GPU memory ran out (CUDA out of memory. Tried)."
    )


def test_measurements_of_other_files_are_dropped(folder):
    model_set = read_model_set(folder)
    now = {"passed": True, "model_set_digest": model_set.digest}
    store_entries(model_set, [("fp16", "esm2", now), ("fp8", "esm2", {**now, "passed": False})])
    assert certified_precisions(read_model_set(folder)) == ["fp16"]
    store_entries(read_model_set(folder), [("fp8", "esm2", now)])  # the others stay
    assert certified_precisions(read_model_set(folder)) == ["fp16", "fp8"]
    text = (folder / "modelset.json").read_text()
    other = text.replace(json.loads(text)["components"]["esm2"]["sha256"], "0" * 64)
    (folder / "modelset.json").write_text(other)
    assert valid_entries(read_model_set(folder)) == {}


def test_a_set_that_cannot_be_written_is_the_users_error(folder, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(InputError, match="cannot be written .Permission denied.*folder of yours"):
        store_entries(read_model_set(folder), [])


def test_all_else_in_the_description_stays(folder):
    file = folder / "modelset.json"
    before = json.loads(file.read_text()) | {"note": "é", "certified": {"fp16": None}}
    real = folder / "elsewhere.json"
    real.write_text(json.dumps(before, ensure_ascii=False), encoding="utf-8")
    real.chmod(0o640)
    file.unlink()
    file.symlink_to(real.name)
    model_set = read_model_set(folder)
    entry = {"passed": True, "model_set_digest": model_set.digest}
    store_entries(model_set, [("fp8", "esm2", entry)])
    assert json.loads(file.read_text()) == before | {"certified": {"fp8": {"esm2": entry}}}
    assert file.is_symlink() and real.stat().st_mode & 0o777 == 0o640


def test_frames_of_the_demo_are_many_and_real():
    for chunk_bp in (300, 500):
        demo = real_frames(None, chunk_bp)
        assert len(demo.dna) == len(demo.protein) == NUM_FRAMES and demo.source == "demo"
        assert max(map(len, demo.dna)) <= chunk_bp
        assert len(set(demo.protein)) > 0.99 * NUM_FRAMES
        assert not any("*" in protein for protein in demo.protein)


def test_frames_of_files_are_sampled_evenly(tmp_path, frames, monkeypatch):
    monkeypatch.setattr(real_frames_module, "NUM_FRAMES", 3)
    path = write_frames(tmp_path, frames)
    for given in (path, path.with_suffix(".fna")):
        chosen = real_frames(given, 500)
        assert chosen.dna == [frames.dna[i] for i in (0, 250, 499)]
        assert chosen.protein == [frames.protein[i] for i in (0, 250, 499)]


@pytest.mark.parametrize(
    "name, protein, words",
    [
        ("x.fasta", ">f\nMK\n", "the name must end in .faa or .fna"),
        ("y.faa", ">f\nMK\n", "y.faa is missing. Both encoders are measured"),
        ("x.faa", ">g\nMK\n", "x.fna and x.faa have different frames"),
        ("x.faa", "", "have different frames"),
    ],
)
def test_files_that_are_not_frames_are_refused(tmp_path, name, protein, words):
    (tmp_path / "x.faa").write_text(protein)
    (tmp_path / "x.fna").write_text(">f\nACGT\n")
    with pytest.raises(InputError, match=words):
        real_frames(tmp_path / name, 500)


def test_too_few_frames_and_no_use_for_them_are_refused(folder, frames, capsys):
    few = RealFrames("x.faa", frames.dna[:499], frames.protein[:499])
    with pytest.raises(InputError, match="x.faa: 499 frames. Give at least 500 to --frames"):
        list(certify(read_model_set(folder), few, CPU))
    assert cli.main(["models", "check", str(folder), "--frames", "x.faa"]) == 2
    assert "--frames: is what --certify measures with" in capsys.readouterr().err


def test_a_damaged_set_is_not_certified(folder, frames, capsys):
    (folder / "esm2.safetensors").write_bytes(b"no")
    argv = ["models", "check", str(folder), "--device", "cpu", "--certify"]
    assert cli.main([*argv, "--frames", str(write_frames(folder, frames))]) == 1
    assert "against fp32" not in capsys.readouterr().out
    assert "certified" not in json.loads((folder / "modelset.json").read_text())
