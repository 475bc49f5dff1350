"""`models check` and `models list`."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.numpy import load_file

from virnucpro import files
from virnucpro.cli import main as cli
from virnucpro.consensus.calibrator import Bin, Calibration, Rates, Temperature
from virnucpro.errors import InputError
from virnucpro.model_diagnostics.set_check import check_set
from virnucpro.model_sets.description import read_model_set
from virnucpro.model_sets.digest import set_digest
from virnucpro.models import component, esm2
from virnucpro.scoring.classifier import save_classifier
from virnucpro.training.set_folder import write_calibration

ROOT = Path(__file__).parents[2]
BUNDLED = ROOT / "models/compact-500"
ENTRY = {"chunk_bp": 500, "frame_rule": "open", "file": "x", "sha256": "0" * 64}


def calibrate(folder, chunk_bp=500, frame_rule="longest_open"):
    """Calibrate a set; return the file."""
    rates = Rates((-1.0, 0.5), (1.0, 0.5), (1.0, 0.1))
    calibration = Calibration((Bin(1, Temperature(2.0, 0.0), rates),), 0.2)
    return write_calibration(folder, calibration, chunk_bp, frame_rule)


@pytest.fixture
def copy(tmp_path):
    """A copy of the bundled set with the original's frame rule, uncalibrated."""
    folder = shutil.copytree(BUNDLED, tmp_path / "copy")
    change(folder, lambda description: description.update(frame_rule="open", calibration=None))
    return folder


def change(folder, edit):
    """Edit the content of modelset.json."""
    description = json.loads((folder / "modelset.json").read_text())
    edit(description)
    (folder / "modelset.json").write_text(json.dumps(description))


def replace(folder, role, path):
    """Make a file the component of a role, with its sha256."""

    def edit(description):
        entry = description["components"][role]
        shutil.copy(path, folder / entry["file"])
        entry["sha256"] = files.file_sha256(path)

    change(folder, edit)


def test_a_good_set_passes_with_a_line_for_each_component(capsys, copy):
    assert cli.main(["models", "check", str(copy), "--device", "cpu"]) == 0
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
def test_a_damaged_component_fails_and_the_others_are_still_checked(
    copy, capsys, damage, words, role
):
    damage(read_model_set(copy).component(role).path)
    assert cli.main(["models", "check", str(copy), "--device", "cpu"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    (fault,) = [line for line in lines if line.startswith(f"FAULT\t{role}\t")]
    statuses = check_set(read_model_set(copy), torch.device("cpu"))
    (status,) = [status for status in statuses if status.role == role]
    with pytest.raises(InputError, match=words):
        raise InputError(status.text)
    assert status.text in fault


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
    assert "tokenizer.json: 4095 tokens, but the encoder has 4096" in capsys.readouterr().out


def test_a_classifier_with_nan_scores_fails(copy, tmp_path, capsys):
    tensors = load_file(copy / "classifier.safetensors")
    tensors["output_layer.bias"][0] = float("nan")
    save_classifier(tmp_path / "bad.safetensors", tensors, takes_composition=True)
    replace(copy, "classifier", tmp_path / "bad.safetensors")
    assert cli.main(["models", "check", str(copy), "--device", "cpu"]) == 1
    assert "its scores are not finite" in capsys.readouterr().out


def test_a_classifier_with_other_composition_features_than_described_fails(copy, tmp_path, capsys):
    save_classifier(tmp_path / "other", load_file(copy / "classifier.safetensors"))
    replace(copy, "classifier", tmp_path / "other")
    assert cli.main(["models", "check", str(copy), "--device", "cpu"]) == 1
    assert "does not take composition features, modelset.json says" in capsys.readouterr().out


def test_a_classifier_of_another_width_than_described_fails(copy, capsys):
    def widen(description):
        description["components"]["esm2"]["width"] += 1
        description["components"]["classifier"]["input_width"] += 1

    change(copy, widen)
    assert cli.main(["models", "check", str(copy), "--device", "cpu"]) == 1
    assert "takes 977 numbers a frame, modelset.json says 978" in capsys.readouterr().out


def test_a_forward_pass_that_does_not_repeat_fails(copy, monkeypatch, capsys):
    pool = esm2.ESM2.pool
    monkeypatch.setattr(
        esm2.ESM2, "pool", lambda self, hidden, batch: pool(self, hidden, batch) + torch.rand(1)
    )
    assert cli.main(["models", "check", str(copy), "--device", "cpu"]) == 1
    assert "FAULT\tesm2\t" in (out := capsys.readouterr().out) and "two forward passes" in out


def checked(folder, capsys):
    """Check a set; return status and the lines after those of the components."""
    status = cli.main(["models", "check", str(folder), "--device", "cpu"])
    return status, capsys.readouterr().out.splitlines()[4:]


def replace_calibration(folder, file, edit):
    """Edit the content of a calibration file, and update its sha256 in modelset.json, in upper case."""
    content = json.loads(file.read_text())
    edit(content)
    file.write_text(json.dumps(content))
    sha256 = files.file_sha256(file).upper()
    change(folder, lambda d: [e.update(sha256=sha256) for e in d["calibration"]])


def test_a_calibration_is_checked_after_the_components(copy, capsys):
    file = calibrate(copy)
    good = "ok\tcalibration for 500 bp, longest_open\tcalibration-500-longest_open.json, prior 0.2"
    assert checked(copy, capsys) == (0, [good])
    flip_a_bit(file)
    status, (line,) = checked(copy, capsys)
    assert status == 1
    assert line.startswith(f"FAULT\tcalibration for 500 bp, longest_open\t{file}: sha256 is")
    file.unlink()
    status, (line,) = checked(copy, capsys)
    assert status == 1 and f"\t{file}: cannot be read (No such file" in line
    file.mkdir()
    status, (line,) = checked(copy, capsys)
    assert status == 1 and f"\t{file}: cannot be read (Is a directory)" in line


def test_a_calibration_whose_sha256_is_in_upper_case_passes(copy, capsys):
    replace_calibration(copy, calibrate(copy), lambda content: None)
    status, (line,) = checked(copy, capsys)
    assert status == 0 and line.startswith("ok\t")


def test_a_malformed_calibration_fails(copy, capsys):
    replace_calibration(copy, calibrate(copy), lambda content: content.update(bins=[[]]))
    status, (line,) = checked(copy, capsys)
    assert status == 1 and line.startswith("FAULT\t")
    assert "is not a calibration of format 1 (bins.0: is not a JSON object). Copy it again" in line


def test_a_calibration_of_other_components_or_chunks_fails(copy, capsys):
    calibrate(copy)
    before = read_model_set(copy).component("classifier").sha256[:12]
    tensors = load_file(copy / "classifier.safetensors")
    tensors["output_layer.bias"][0] += 1
    save_classifier(copy / "other.safetensors", tensors, takes_composition=True)
    replace(copy, "classifier", copy / "other.safetensors")
    now = read_model_set(copy).component("classifier").sha256[:12]
    status, (line,) = checked(copy, capsys)
    assert status == 1
    assert f"made for another classifier ('{before}', the set has '{now}'). Calibrate" in line
    calibrate(copy)
    assert checked(copy, capsys)[0] == 0
    rule = {"rule": "longest_open", "min_residues": 30}
    change(copy, lambda d: (d.update(frame_rule=rule), d["calibration"][0].update(chunk_bp=300)))
    status, (line,) = checked(copy, capsys)
    assert status == 1
    assert "made for chunk_bp 500, the set has 300; min_residues 20, the set has 30. Cal" in line


def test_an_unknown_frame_rule_fails(copy, capsys):
    change(copy, lambda d: d.update(frame_rule={"rule": "longest"}))
    status, (line,) = checked(copy, capsys)
    assert status == 1
    assert line.startswith("FAULT\tframe_rule\tlongest: this version does not have it.")


def test_the_device_is_that_of_the_option(capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert cli.main(["models", "check", str(BUNDLED), "--device", "cuda"]) == 2
    assert "--device cuda: " in capsys.readouterr().err


@pytest.mark.parametrize(
    "edit, words",
    [
        (lambda d: d.update(format=2), "has format 2, this version reads 1"),
        # tests/unit/test_check_model_set_task.py has all of them
        (lambda d: d.update(frame_rule=7), "says: frame_rule .must be the name of a frame rule.. Build"),
        (lambda d: d["components"]["esm2"].update(width=97), r"give 96 \+ 97 numbers a frame, and there are 785 composition features; the classifier takes 977"),
    ],
)  # fmt: skip
def test_a_malformed_description_is_refused(copy, edit, words):
    change(copy, edit)
    with pytest.raises(InputError, match=words):
        read_model_set(copy)


def test_a_folder_without_a_set_is_refused(tmp_path, capsys):
    assert cli.main(["models", "check", str(tmp_path)]) == 2
    assert f"{tmp_path}: there is no modelset.json" in capsys.readouterr().err


def test_the_list_describes_sets(copy, tmp_path, capsys):
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
    for name in ("broken", "incomplete"):
        shutil.copytree(BUNDLED, tmp_path / name)
    (tmp_path / "broken/modelset.json").write_text("{")
    (tmp_path / "incomplete/esm2.safetensors").unlink()
    (tmp_path / "no_set").mkdir()
    assert cli.main(["models", "list", str(tmp_path), str(BUNDLED)]) == 0
    head, broken, copied, incomplete, bundled = capsys.readouterr().out.splitlines()
    assert head.split() == [
        "set",
        "chunk_bp",
        "frame_rule",
        "dnabert_s",
        "esm2",
        "GB",
        "sources",
        "certified",
        "calibrated",
        "digest",
        "folder",
    ]
    assert (
        broken.startswith("broken ") and "not usable" in broken and "is not readable JSON" in broken
    )
    digest = set_digest(json.loads((copy / "modelset.json").read_text()))[:12]
    assert (
        copied.split()
        == f"compact-500 500 open 96 float16 96 float16 0.01 unknown: esm2 fp16,fp8 no {digest} {copy}".split()
    )
    assert "missing: esm2" in incomplete
    assert " known " in bundled and " no " in bundled and bundled.endswith(str(BUNDLED))


def listed(folder, capsys):
    assert cli.main(["models", "list", str(folder)]) == 0
    return capsys.readouterr().out.splitlines()[1:]


def test_the_list_shows_frame_rules_and_calibrations(copy, capsys):
    change(copy, lambda d: d.update(frame_rule={"rule": "longest_open", "min_residues": 30}))
    calibrate(copy)
    calibrate(copy, 300, "open")
    (row,) = listed(copy, capsys)
    cells = row.split()
    assert cells[1:3] == ["500", "longest_open:30"]
    assert cells[-4:-2] == ["no", "500:longest_open,300:open"]


def test_the_list_shows_broken_calibrations_and_goes_on(copy, tmp_path, capsys):
    names = ("damaged", "entry", "missing", "other")
    for name in names:
        shutil.copytree(copy, tmp_path / name)
        calibrate(tmp_path / name)
    file = "calibration-500-longest_open.json"
    (tmp_path / "damaged" / file).write_text("{}")
    change(tmp_path / "entry", lambda d: d["calibration"][0].pop("sha256"))
    (tmp_path / "missing" / file).unlink()
    change(tmp_path / "other", lambda d: d["components"]["esm2"].update(sha256="0" * 64))
    good, damaged, entry, missing, other = listed(tmp_path, capsys)
    assert good.startswith("compact-500 ") and "not usable" not in good
    for row, name in zip((damaged, entry, missing, other), names, strict=True):
        assert row.startswith(f"{name} ") and f"{tmp_path / name}: not usable: " in row
    of = "not usable: calibration for 500 bp, longest_open: "
    assert f"{of}{tmp_path}/damaged/{file}: sha256 is " in damaged
    assert "modelset.json: missing or not as docs/model_sets.md says: calibration.0.sha256" in entry
    assert f"{of}{tmp_path}/missing/{file}: cannot be read (No such file or directory)." in missing
    assert "was made for another esm2" in other and other.endswith("Calibrate the model set again.")


def test_the_list_has_the_sets_of_the_project_and_the_environment(
    copy, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("VIRNUCPRO_MODELS", f"{tmp_path}:")
    assert cli.main(["models", "list"]) == 0
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()[1:]] == [
        str(BUNDLED.with_name("compact-300")), str(BUNDLED), str(copy),
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
