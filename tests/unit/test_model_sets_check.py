"""`models check` and `models list`."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.numpy import load_file

from virnucpro.calls.classifier import save_classifier
from virnucpro.cli import main as cli
from virnucpro.errors import InputError
from virnucpro.model_sets.check import check_components
from virnucpro.model_sets.description import read_model_set
from virnucpro.model_sets.digest import set_digest
from virnucpro.models import component, esm2

ROOT = Path(__file__).parents[2]
EMBEDDED = ROOT / "models/compact-500"


@pytest.fixture
def copy(tmp_path):
    return shutil.copytree(EMBEDDED, tmp_path / "copy")


def change(folder, edit):
    """Edit the content of modelset.json."""
    description = json.loads((folder / "modelset.json").read_text())
    edit(description)
    (folder / "modelset.json").write_text(json.dumps(description))


def replace(folder, role, path):
    """Make a file the component of a role, sum and all."""

    def edit(description):
        entry = description["components"][role]
        shutil.copy(path, folder / entry["file"])
        entry["sha256"] = component.file_sha256(path)

    change(folder, edit)


def test_a_good_set_passes_with_a_line_for_each_component(capsys):
    assert cli.main(["models", "check", str(EMBEDDED), "--device", "cpu"]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[:2] for line in lines] == [
        ["ok", "dnabert_s"], ["ok", "tokenizer"], ["ok", "esm2"], ["ok", "classifier"],
    ]  # fmt: skip
    assert lines[2][2] == "2 layers, width 96, float16, computes in fp32 on cpu"


def flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "damage, words",
    [(flip_a_bit, "sha256 is .*, expected .*damaged"), (Path.unlink, "is missing")],
)
@pytest.mark.parametrize("role", ["dnabert_s", "tokenizer", "esm2", "classifier"])
def test_a_damaged_component_fails_and_the_others_are_checked_still(
    copy, capsys, damage, words, role
):
    damage(read_model_set(copy).component(role).path)
    assert cli.main(["models", "check", str(copy), "--device", "cpu"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    (fault,) = [line for line in lines if line.startswith(f"FAULT\t{role}\t")]
    (finding,) = [
        f for f in check_components(read_model_set(copy), torch.device("cpu")) if f.role == role
    ]
    with pytest.raises(InputError, match=words):
        raise InputError(finding.text)
    assert finding.text in fault


def test_weights_that_overflow_fail(copy, tmp_path, capsys):
    entry = read_model_set(copy).component("esm2")
    model = component.load_component(entry.path, entry.sha256, torch.device("cpu"))
    model.emb_layer_norm_after.weight.fill_(float("inf"))
    component.write_component(tmp_path / "bad.safetensors", model)
    replace(copy, "esm2", tmp_path / "bad.safetensors")
    assert cli.main(["models", "check", str(copy), "--device", "cpu"]) == 1
    assert "FAULT\tesm2\tsequence number 1: its vector is not finite" in capsys.readouterr().out


def test_a_model_of_another_width_than_described_fails(copy, tmp_path, capsys):
    torch.manual_seed(0)
    component.write_component(tmp_path / "other.safetensors", esm2.ESM2(esm2.Config(1, 64, 4)))
    replace(copy, "esm2", tmp_path / "other.safetensors")
    assert cli.main(["models", "check", str(copy), "--device", "cpu"]) == 1
    assert "gives 64 numbers a frame, modelset.json says 96" in capsys.readouterr().out


def test_a_tokenizer_of_another_model_fails(copy, tmp_path, capsys):
    content = json.loads((copy / "tokenizer.json").read_text())
    vocab = content["model"]["vocab"]
    del vocab[max(vocab, key=vocab.get)]
    content["model"]["merges"].pop()
    (tmp_path / "other.json").write_text(json.dumps(content))
    replace(copy, "tokenizer", tmp_path / "other.json")
    assert cli.main(["models", "check", str(copy), "--device", "cpu"]) == 1
    assert "its vocabulary is not that of the tokenizer (4095 tokens)" in capsys.readouterr().out


def test_a_classifier_that_gives_no_numbers_fails(copy, tmp_path, capsys):
    tensors = load_file(copy / "classifier.safetensors")
    tensors["output_layer.bias"][0] = float("nan")
    save_classifier(tmp_path / "bad.safetensors", tensors)
    replace(copy, "classifier", tmp_path / "bad.safetensors")
    assert cli.main(["models", "check", str(copy), "--device", "cpu"]) == 1
    assert "its scores are not finite" in capsys.readouterr().out


def test_a_classifier_of_another_width_than_described_fails(copy, capsys):
    def widen(description):
        description["components"]["esm2"]["width"] += 1
        description["components"]["classifier"]["input_width"] += 1

    change(copy, widen)
    assert cli.main(["models", "check", str(copy), "--device", "cpu"]) == 1
    assert "takes 192 numbers a frame, modelset.json says 193" in capsys.readouterr().out


def test_a_forward_pass_that_does_not_repeat_fails(copy, monkeypatch, capsys):
    forward = esm2.ESM2.forward
    monkeypatch.setattr(
        esm2.ESM2, "forward", lambda self, ids, batch: forward(self, ids, batch) + torch.rand(1)
    )
    assert cli.main(["models", "check", str(copy), "--device", "cpu"]) == 1
    assert "FAULT\tesm2\t" in (out := capsys.readouterr().out) and "two forward passes" in out


def test_a_calibration_that_is_damaged_fails(copy, capsys):
    (copy / "calibration.json").write_text("{}")

    def add(description):
        description["calibration"] = [
            {"chunk_bp": 500, "frame_rule": "open", "file": "calibration.json", "sha256": "0" * 64}
        ]

    change(copy, add)
    assert cli.main(["models", "check", str(copy), "--device", "cpu"]) == 1
    assert "calibration for 500 bp, open" in capsys.readouterr().out


def test_the_device_is_that_of_the_option(capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert cli.main(["models", "check", str(EMBEDDED), "--device", "cuda"]) == 2
    assert "--device cuda: " in capsys.readouterr().err


@pytest.mark.parametrize(
    "edit, words",
    [
        (lambda d: d.update(format=2), "has format 2, this version reads 1"),
        (lambda d: d["components"].pop("esm2"), "says: components.esm2.file, components.esm2.sha256, components.esm2.width. Build"),
        (lambda d: d["components"]["esm2"].update(sha256="abc"), "says: components.esm2.sha256. Build"),
        (lambda d: d.update(chunk_bp=[], frame_rule=None, name=7), "says: name, chunk_bp, frame_rule. Build"),
        (lambda d: d["components"]["esm2"].update(width=97), "give 96 . 97 numbers a frame, the classifier takes 192"),
    ],
)  # fmt: skip
def test_a_description_that_is_none_is_refused(copy, edit, words):
    change(copy, edit)
    with pytest.raises(InputError, match=words):
        read_model_set(copy)


def test_a_folder_without_a_set_is_refused(tmp_path, capsys):
    assert cli.main(["models", "check", str(tmp_path)]) == 2
    assert f"{tmp_path}: there is no modelset.json" in capsys.readouterr().err


def test_the_list_shows_what_sets_are(copy, tmp_path, capsys):
    def from_published(description):
        digest = set_digest(description)
        now, before = {"model_set_digest": digest}, {"model_set_digest": "0", "passed": True}
        description["certified"] = {
            "bf16": {"esm2": {**now, "passed": True}, "dnabert_s": {**now, "passed": False}},
            "fp16": {"esm2": {**now, "passed": True}, "dnabert_s": {**now, "passed": True}},
            "fp8": {"esm2": {**now, "passed": True}},
            "tf32": {"esm2": before},  # of other files
        }
        description["components"]["esm2"]["source"] = {"known_as": "unknown"}
        description["components"]["dnabert_s"]["source"] = {"known_as": "DNABERT-S"}

    change(copy, from_published)
    for name in ("broken", "lost"):
        shutil.copytree(EMBEDDED, tmp_path / name)
    (tmp_path / "broken/modelset.json").write_text("{")
    (tmp_path / "lost/esm2.safetensors").unlink()
    (tmp_path / "no_set").mkdir()
    assert cli.main(["models", "list", str(tmp_path), str(EMBEDDED)]) == 0
    head, broken, copied, lost, embedded = capsys.readouterr().out.splitlines()
    assert head.split() == [
        "set",
        "chunk_bp",
        "dnabert_s",
        "esm2",
        "GB",
        "sources",
        "certified",
        "digest",
        "folder",
    ]
    assert (
        broken.startswith("broken ") and "not usable" in broken and "is no readable JSON" in broken
    )
    digest = set_digest(json.loads((copy / "modelset.json").read_text()))[:12]
    assert (
        copied.split()
        == f"compact-500 500 96 float16 96 float16 0.00 unknown: esm2 fp16,fp8 {digest} {copy}".split()
    )
    assert "missing: esm2" in lost
    assert " known " in embedded and " no " in embedded and embedded.endswith(str(EMBEDDED))


def test_the_list_looks_into_the_project_and_the_environment(copy, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("VIRNUCPRO_MODELS", f"{tmp_path}:")
    assert cli.main(["models", "list"]) == 0
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()[1:]] == [
        str(EMBEDDED), str(copy),
    ]  # fmt: skip
    monkeypatch.setenv("VIRNUCPRO_MODELS", str(tmp_path / "nowhere"))
    assert cli.main(["models", "list"]) == 2
    assert "nowhere: there is no such folder" in capsys.readouterr().err


def test_a_list_needs_no_torch():
    code = (
        "import sys; from virnucpro.cli import main; assert main.main(['models', 'list']) == 0; "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
