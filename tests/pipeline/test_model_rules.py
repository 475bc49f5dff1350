"""What the pipeline makes of a modelset.json, beside what the library makes of it.

Groovy and Python have the same rules twice: probe.py asks those of the pipeline.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Pipeline, sha256, write_model_set
from probe import ask

from virnucpro.consensus.calibrator import Bin, Calibration, Rates, Temperature
from virnucpro.errors import InputError
from virnucpro.model_sets.calibration_entries import load_entry
from virnucpro.model_sets.description import read_model_set
from virnucpro.model_sets.digest import COMPONENTS, set_digest
from virnucpro.training.set_folder import write_calibration

ENTRY = {"chunk_bp": 500, "frame_rule": "open", "file": "x", "sha256": "Ab" * 32}
RULES: list[Any] = [
    "open", "longest_open", "shorter_open", "Open rule", "", "open\n", 7, None, [], True, {},
    {"rule": "open"}, {"rule": None}, {"rule": ["open"]}, {"rule": "longest_open", "other": 1},
    *({"rule": rule, "min_residues": least}
      for rule in ("open", "longest_open")
      for least in (None, 20, 20.0, 2e1, 30, 20.5, 0, -1, 2**31 - 1, 2**31, 1e10, 1e300, "20", True, [20])),
]  # fmt: skip
CALIBRATIONS: list[Any] = [
    None, [], {}, "x", 0, False, [None], ["x"], [{}], [[]], [ENTRY],
    [ENTRY, {**ENTRY, "chunk_bp": 300}], [{**ENTRY, "chunk_bp": 300}, ENTRY],
    [ENTRY, {**ENTRY, "frame_rule": "longest_open", "sha256": "0" * 64, "more": 1}],
    [ENTRY, {**ENTRY, "file": "y"}], [ENTRY, {}, {**ENTRY, "file": "y"}, ENTRY],
    *([{**ENTRY, "chunk_bp": bp}] for bp in ("500", 500.0, 0, True, None, 2**31)),
    *([{**ENTRY, "frame_rule": rule}] for rule in ("a rule", "", 7, ["open"], None)),
    *([{**ENTRY, "file": file}] for file in ("", 7, "a\nb", "a\0b", "\ud800", "\u00e4 \U0001f600", "../y.json")),
    *([{**ENTRY, "sha256": sha256}] for sha256 in ("0" * 63, "0" * 65, "g" * 64, 0, None)),
]  # fmt: skip


def library_answer(folder: Path, description: dict[str, Any]) -> dict[str, Any]:
    """Return what the library says is wrong, and the digest of a set without a fault."""
    (folder / "modelset.json").write_text(json.dumps(description))
    try:
        read_model_set(folder)
    except InputError as error:
        start, end = "docs/model_sets.md says: ", ". Build or"
        return {"faults": str(error).split(start)[1].split(end)[0], "digest": None}
    return {"faults": "", "digest": set_digest(description)}


def test_both_languages_find_the_same_faults_and_digests(tmp_path: Path, model_set: Path) -> None:
    plain = json.loads((model_set / "modelset.json").read_text())
    descriptions = [{**plain, "frame_rule": rule} for rule in RULES]
    descriptions += [{**plain, "calibration": stated} for stated in CALIBRATIONS]
    descriptions += [{**d, "calibration": "x"} for d in descriptions[:3]]
    answers = ask(tmp_path, [{"description": d} for d in descriptions])
    for description, answer in zip(descriptions, answers, strict=True):
        start, end = "docs/model_sets.md says: ", ". Build or"
        faults = answer["faults"][0].split(start)[1].split(end)[0] if answer["faults"] else ""
        found = {"faults": faults, "digest": answer["digest"]}
        assert found == library_answer(tmp_path, description), description
    digests = {a["digest"] for a in answers if a["digest"]}
    assert 8 <= len(digests) < len(answers) / 3  # many are faulty, and many mean the same


def calibrate(folder: Path, chunk_bp: int, frame_rule: str, prior: float) -> Path:
    """Add a calibration, told from others by its prior."""
    bins = (Bin(1, Temperature(2.0, 0.0), Rates((-1.0, 0.5), (1.0, 0.5), (1.0, 0.1))),)
    return write_calibration(folder, Calibration(bins, prior), chunk_bp, frame_rule)


def edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set for 300 and 500 bp with three calibrations, one sum in upper case."""
    folder = write_model_set(tmp_path_factory.mktemp("calibrated") / "a set", chunk_bp=(300, 500))
    rule = {"rule": "open", "min_residues": 30}
    edit(folder / "modelset.json", frame_rule=rule)
    for chunk_bp, frame_rule, prior in ((500, "open", 0.25), (300, "open", 0.125), (300, "longest_open", 1e-7)):  # fmt: skip
        calibrate(folder, chunk_bp, frame_rule, prior)
    entries = json.loads((folder / "modelset.json").read_text())["calibration"]
    entries[1]["sha256"] = entries[1]["sha256"].upper()
    edit(folder / "modelset.json", calibration=entries)
    return folder


def test_the_calibration_of_a_chunk_length_and_rule_is_used(
    tmp_path: Path, calibrated: Path
) -> None:
    model_set = read_model_set(calibrated)
    cases: list[tuple[dict[str, Any], int | None, float | None]] = [
        ({}, 1, 0.125),  # the set's first length
        ({"chunk_bp": 300}, 1, 0.125),
        ({"chunk_bp": 500}, 0, 0.25),
        ({"chunk_bp": 300, "frame_rule": "longest_open"}, 2, 1e-7),
        ({"chunk_bp": 300, "viral_prior": 0.01}, 1, 0.01),
        ({"chunk_bp": 500, "frame_rule": "longest_open"}, None, None),
        ({"chunk_bp": 400, "mismatch": True}, None, None),
    ]
    answers = ask(tmp_path, [{"folder": str(calibrated), **question} for question, _, _ in cases])
    for (question, place, prior), answer in zip(cases, answers, strict=True):
        assert answer["digest"] == model_set.digest, answer
        if place is None:
            assert answer["calibration"] == ["[]", "", ""], question
            assert not {"calibration", "viral_prior"} & answer["identity"].keys()
            continue
        entry = model_set.calibrations[place]
        path = str((calibrated / entry.file).resolve())
        assert answer["calibration"] == [path, entry.sha256, prior], question
        told = {"calibration": entry.sha256, "viral_prior": prior}
        assert answer["identity"].items() >= told.items()  # never null: the prior in use
        assert load_entry(model_set, entry).viral_prior == prior or "viral_prior" in question
    assert answers[3]["identity"]["min_residues"] == 30


def library_refuses(folder: Path) -> bool:
    """Return whether `models check` and `models list` refuse the set's first calibration too."""
    model_set = read_model_set(folder)
    try:
        load_entry(model_set, model_set.calibrations[0])
    except InputError:
        return True
    return False


def spoil_file(content: str | dict[str, Any]) -> Callable[[Path], None]:
    """Return a change of the calibration's content, in a modelset.json that names the new sum."""

    def change(folder: Path) -> None:
        file = folder / OWN
        old = json.loads(file.read_text())
        file.write_text(content if isinstance(content, str) else json.dumps(old | content))
        entries = json.loads((folder / "modelset.json").read_text())["calibration"]
        entries[0]["sha256"] = sha256(file)
        edit(folder / "modelset.json", calibration=entries)

    return change


def other_component(role: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        components = json.loads((folder / "modelset.json").read_text())["components"]
        components[role]["sha256"] = "0" * 64
        edit(folder / "modelset.json", components=components)

    return change


def name_the_other(folder: Path) -> None:
    """Let the entry for 500 bp name the file for 300 bp."""
    entries = json.loads((folder / "modelset.json").read_text())["calibration"]
    entries[0] |= {"file": entries[1]["file"], "sha256": entries[1]["sha256"]}
    edit(folder / "modelset.json", calibration=entries)


OWN = "calibration-500-open.json"
NO_CALIBRATION = (
    "is no calibration of format 1 with a viral_prior between 0 and 1. Copy it again, or calibrate"
)
REFUSED: list[tuple[Callable[[Path], None], str]] = [
    *((other_component(role), f"was made for another {role} (") for role in COMPONENTS),
    (name_the_other, "was made for chunk_bp 300, the set has 500. Calibrate the model set again."),
    (spoil_file({"made_for": None}), "was made for no model set that it names. Calibrate the"),
    (spoil_file({"viral_prior": "0.5"}), NO_CALIBRATION),
    (spoil_file({"viral_prior": 1}), NO_CALIBRATION),
    (spoil_file({"format": 2}), NO_CALIBRATION),
    (spoil_file("[]"), NO_CALIBRATION),
    *((spoil_file(text), "is no JSON (") for text in ("{", "", "NaN")),
    (lambda folder: (folder / OWN).unlink(), "is missing. Copy the whole folder again."),
    (lambda folder: edit(folder / OWN, x=1), ", modelset.json says "),
]  # fmt: skip


def test_a_calibration_that_is_not_the_sets_is_refused_before_any_task(
    tmp_path: Path, calibrated: Path
) -> None:
    questions = []
    for number, (change, words) in enumerate(REFUSED):
        folder = shutil.copytree(calibrated, tmp_path / f"set{number}")
        change(folder)
        assert library_refuses(folder), words
        questions.append({"folder": str(folder), "chunk_bp": 500})
    for question, answer, (_, words) in zip(
        questions, ask(tmp_path, questions), REFUSED, strict=True
    ):
        start = f"Model set random, calibration for 500 bp, open: {question['folder']}/calibration-"
        assert answer["error"].startswith(start) and words in answer["error"], (words, answer)


def part(name: str, **changes: Any) -> Callable[[dict[str, Any]], None]:
    """Return a change of a component's entry."""
    return lambda description: description["components"][name].update(changes)


def several(*changes: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
    return lambda description: [change(description) for change in changes] and None


def whole(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda description: description.update(changes)


# change of modelset.json, or its text; further options; what is told, {} is the folder above the set
MISFITS: list[tuple[Callable[[dict[str, Any]], None] | str | None, dict[str, Any], str]] = [
    (part("classifier", input_width=3328), {}, "the encoders give 64 + 64 numbers a frame, the classifier takes 3328"),
    (several(part("esm2", file="gone.safetensors"), part("tokenizer", file="../store/t.json")), {},
     "  tokenizer: ../store/t.json is missing. The set refers to a store of components beside it: copy {0}/store too, or give --weights_dir.\n"
     "  esm2: gone.safetensors is missing. Copy the whole folder again, or give --weights_dir."),
    (several(part("esm2", sha256="abc"), part("dnabert_s", width=None, file=7), whole(name="", chunk_bp=[0])), {},
     "modelset.json: missing or not as docs/model_sets.md says: name, chunk_bp, components.dnabert_s.file, "
     "components.dnabert_s.width, components.esm2.sha256. Build or fetch the set again, or mend modelset.json."),
    (whole(format=2), {}, "modelset.json: format is 2, this version reads format 1."),
    (whole(components=[]), {}, "components.dnabert_s.file, components.dnabert_s.sha256"),
    (None, {}, "there is no modelset.json in it."),
    *((text, {}, "modelset.json: is no JSON (") for text in ('{"name": ', "")),
    ("", {}, "It was cut short or edited: copy it again."),
    (whole(frame_rule={"rule": "longest_open", "min_residues": 0}), {}, "says: frame_rule.min_residues (no whole number from 1 on). Build"),
    (whole(frame_rule={"rule": "longest"}), {}, "wants the frame rule 'longest', which this version does not have"),
    (whole(calibration={"file": "x"}), {}, "not as docs/model_sets.md says: calibration (no list). Build"),
    (whole(), {"viral_prior": 0.1}, "--viral_prior 0.1: the model set random is not calibrated for chunks of 500 bp and the frame rule open (but for: nothing)"),
    (whole(), {"chunk_bp": 400}, "--chunk_length 400: the model set random was trained on 500, 300 bp."),
    (several(part("esm2", file="esm2/model.safetensors"), part("dnabert_s", file="dnabert_s/model.safetensors")),
     {"weights_dir": "/opt/weights"}, "dnabert_s and esm2 are both called model.safetensors"),
]  # fmt: skip


def test_a_model_set_that_does_not_fit_is_refused(tmp_path: Path, model_set: Path) -> None:
    questions = []
    for number, (change, options, _) in enumerate(MISFITS):
        folder = shutil.copytree(model_set, tmp_path / f"above{number}" / "set")
        description = json.loads((folder / "modelset.json").read_text())
        (folder / "modelset.json").unlink()
        if callable(change):
            change(description)
            (folder / "modelset.json").write_text(json.dumps(description))
        elif change is not None:
            (folder / "modelset.json").write_text(change)
        questions.append({"folder": str(folder), **options})
    for question, answer, (*_, words) in zip(
        questions, ask(tmp_path, questions), MISFITS, strict=True
    ):
        assert words.format(Path(question["folder"]).parent) in answer["error"], answer
    # in a run too, before any task
    run = Pipeline(tmp_path, Path(questions[1]["folder"])).run("--input", "x.fa")
    assert run.status == 1
    assert MISFITS[1][-1].format(tmp_path / "above1") in run.output
    assert "Submitted process" not in run.output
