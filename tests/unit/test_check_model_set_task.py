"""What CHECK_MODEL_SET makes of a modelset.json and of the options that depend on it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from random_set import sha256, write_model_set

from virnucpro.consensus.calibrator import Bin, Calibration, Rates, Temperature
from virnucpro.errors import InputError
from virnucpro.input_checks.check_model_set_task import CheckedSet, ModelSetRequest, check_model_set
from virnucpro.input_checks.engine_options import EncoderOptions, EngineProfile
from virnucpro.model_sets.calibration_entries import load_entry
from virnucpro.model_sets.description import read_model_set
from virnucpro.model_sets.digest import COMPONENTS, set_digest
from virnucpro.training.set_folder import write_calibration

ENTRY = {"chunk_bp": 500, "frame_rule": "open", "file": "x.json", "sha256": "Ab" * 32}


@pytest.fixture(scope="module")
def model_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model_set(tmp_path_factory.mktemp("sets") / "set")


def check(folder: Path, engine: dict[str, Any] | None = None, profile: Path | None = None, **options: Any) -> CheckedSet:  # fmt: skip
    """Ask as the pipeline does: with the files that modelset.json names and that are there."""
    names = ["modelset.json"]
    try:
        description = json.loads((folder / "modelset.json").read_text())
        entries = [*description["components"].values(), *(description.get("calibration") or [])]
        names += [entry["file"] for entry in entries if (folder / entry["file"]).is_file()]
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        pass  # there is no such file, or it is faulty: that is what is tested
    engine = dict(engine or {})
    profile_name = engine.pop("engine_profile", None)
    fault = None if profile else "there is no such file"
    paths = {name: str((folder / name).resolve()) for name in names if (folder / name).is_file()}
    staged = {name: Path(path) for name, path in paths.items() if name.endswith(".json")}
    return check_model_set(
        ModelSetRequest(
            model_set=str(folder),
            folder=str(folder),
            paths=paths,
            staged=staged,
            encoder=EncoderOptions(**engine),
            engine_profile=profile_name and EngineProfile(profile_name, fault, profile),
            known_sets=["compact-300", "compact-500"],
            pipeline_version="0",
            **{"outdir": "", "faults": {}, **options},
        )
    )


def refusal(folder: Path, *args: Any, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        check(folder, *args, **options)
    return str(caught.value)


def edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


COUNT, RULE, LIST = "must be an integer >= 1", "must be the name of a frame rule", "must be a list"
OBJECT = "must be an object"
# value of frame_rule; what is wrong with it
RULES: list[tuple[Any, str]] = [
    *((rule, "") for rule in ("open", "longest_open")),
    *((rule, f"frame_rule ({RULE})") for rule in ("Open rule", "", "open\n", 7, None, [], True)),
    ({}, "frame_rule.rule (missing)"),
    ({"rule": "open"}, ""),
    *(({"rule": rule}, f"frame_rule.rule ({RULE})") for rule in (None, ["open"], "a\n")),
    ({"rule": "longest_open", "other": 1}, ""),
    *(({"rule": "open", "min_residues": n}, "") for n in (None, 20, 20.0, 2e1, 30, 2**31 - 1)),
    *(({"rule": "open", "min_residues": n}, f"frame_rule.min_residues ({COUNT})")
      for n in (20.5, 0, -1, 2**31, 1e10, 1e300, "20", True, [20])),
]  # fmt: skip
CALIBRATIONS: list[tuple[Any, str]] = [
    *((value, f"calibration ({LIST})") for value in ({}, "x", 0, False)),
    *(([value], f"calibration.0 ({OBJECT})") for value in (None, "x", [])),
    ([{}], ", ".join(f"calibration.0.{key} (missing)" for key in ENTRY)),
    ([ENTRY, {**ENTRY, "file": "y.json"}], "calibration.1 (a second one for 500 bp, open)"),
    *(([{**ENTRY, "chunk_bp": bp}], f"calibration.0.chunk_bp ({COUNT})")
      for bp in ("500", 0, True, None, 2**31)),
    *(([{**ENTRY, "frame_rule": rule}], f"calibration.0.frame_rule ({RULE})")
      for rule in ("a rule", "", 7, ["open"], None)),
    *(([{**ENTRY, "file": file}], "calibration.0.file (must be the name of a .json file without a dollar sign)")
      for file in ("", 7, "a\nb.json", "a$b.json", "a\0b.json", "\ud800.json", "x", ".json", "y.json\n")),
    *(([{**ENTRY, "sha256": sha256}], "calibration.0.sha256 (must be 64 hexadecimal digits)")
      for sha256 in ("0" * 63, "0" * 65, "g" * 64, 0, None, "0" * 64 + "\n")),
]  # fmt: skip


@pytest.mark.parametrize(
    "change, faults",
    [({"frame_rule": value}, fault) for value, fault in RULES]
    + [({"calibration": value}, fault) for value, fault in CALIBRATIONS]
    + [({"frame_rule": 7, "calibration": "x"}, f"frame_rule ({RULE}), calibration ({LIST})")],
)
def test_every_fault_of_modelset_json_is_named(
    tmp_path: Path, model_set: Path, change: dict[str, Any], faults: str
) -> None:
    description = json.loads((model_set / "modelset.json").read_text()) | change
    (tmp_path / "modelset.json").write_text(json.dumps(description))
    if not faults:
        assert read_model_set(tmp_path).digest == set_digest(description)
        return
    with pytest.raises(InputError) as caught:
        read_model_set(tmp_path)
    message = (
        f"{tmp_path}/modelset.json: missing or not as docs/model_sets.md says: {faults}. Build or"
    )
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "stated",
    [
        None, [], [ENTRY], [ENTRY, {**ENTRY, "chunk_bp": 300}], [{**ENTRY, "chunk_bp": 300}, ENTRY],
        [{**ENTRY, "chunk_bp": 500.0}], [{**ENTRY, "file": "\u00e4 \U0001f600.json"}],
        [ENTRY, {**ENTRY, "frame_rule": "longest_open", "sha256": "0" * 64, "more": 1}],
        [{**ENTRY, "file": "../y.json"}],
    ],
)  # fmt: skip
def test_what_means_the_same_has_the_same_digest(
    tmp_path: Path, model_set: Path, stated: Any
) -> None:
    description = json.loads((model_set / "modelset.json").read_text()) | {"calibration": stated}
    (tmp_path / "modelset.json").write_text(json.dumps(description))
    entries = {
        f"{int(e['chunk_bp'])} {e['frame_rule']} {e['sha256'].lower()}" for e in stated or ()
    }
    plain = [{"chunk_bp": int(bp), "frame_rule": rule, "file": "z.json", "sha256": sha256}
             for bp, rule, sha256 in (entry.split() for entry in sorted(entries))]  # fmt: skip
    assert read_model_set(tmp_path).digest == set_digest(description | {"calibration": plain})


@pytest.mark.parametrize(
    "lengths", [{}, {"min_length": 7}, {"max_length": 9}, {"min_length": 9, "max_length": 9}]
)
def test_lengths_in_use_are_in_the_provenance(model_set: Path, lengths: dict[str, Any]) -> None:
    note = check(model_set, **lengths).provenance
    assert {k: v for k, v in note.items() if k.endswith("_length")} == lengths


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "n" * 10_000, "chunk_bp": [30]}, {"name": ["n" * 10_000]},
        {"format": "f" * 10_000}, {"frame_rule": "r" * 10_000}, {"chunk_bp": ["c" * 10_000]},
        {"calibration": [ENTRY | {"file": "f" * 10_000}]}, {"k" * 10_000: 1, "chunk_bp": "c" * 9999},
    ],
)  # fmt: skip
def test_no_message_repeats_ten_thousand_letters(
    model_set: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    folder = shutil.copytree(model_set, tmp_path / "set")
    edit(folder / "modelset.json", **changes)
    message = refusal(folder, chunk_length=500, viral_prior=0.5)
    assert 50 < len(message) < 1500


def calibrate(folder: Path, chunk_bp: int, frame_rule: str, prior: float) -> Path:
    """Add a calibration, distinguished by its prior."""
    bins = (Bin(1, Temperature(2.0, 0.0), Rates((-1.0, 0.5), (1.0, 0.5), (1.0, 0.1))),)
    return write_calibration(folder, Calibration(bins, prior), chunk_bp, frame_rule)


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set for 300 and 500 bp with three calibrations, one sha256 in upper case."""
    folder = write_model_set(tmp_path_factory.mktemp("calibrated") / "a set", chunk_bp=(300, 500))
    rule = {"rule": "open", "min_residues": 30}
    edit(folder / "modelset.json", frame_rule=rule)
    for chunk_bp, frame_rule, prior in ((500, "open", 0.25), (300, "open", 0.125), (300, "longest_open", 1e-7)):  # fmt: skip
        calibrate(folder, chunk_bp, frame_rule, prior)
    entries = json.loads((folder / "modelset.json").read_text())["calibration"]
    entries[1]["sha256"] = entries[1]["sha256"].upper()
    edit(folder / "modelset.json", calibration=entries)
    return folder


@pytest.mark.parametrize(
    "options, place, prior",
    [
        ({}, 1, 0.125),  # the set's first length
        ({"chunk_length": 300}, 1, 0.125),
        ({"chunk_length": 500}, 0, 0.25),
        ({"chunk_length": 300, "frame_rule": "longest_open"}, 2, 1e-7),
        ({"chunk_length": 300, "viral_prior": 0.01}, 1, 0.01),
        ({"chunk_length": 500, "frame_rule": "longest_open"}, None, None),
        ({"chunk_length": 400, "allow_chunk_length_mismatch": True}, None, None),
    ],
)
def test_the_calibration_of_a_chunk_length_and_rule_is_used(
    calibrated: Path, options: dict[str, Any], place: int | None, prior: float | None
) -> None:
    model_set = read_model_set(calibrated)
    checked = check(calibrated, **options)
    assert checked.model_set["model_set_digest"] == model_set.digest
    if place is None:
        assert checked.model_set["calibration_file"] is None
        assert not {"calibration", "viral_prior"} & checked.provenance.keys()
        return
    entry = model_set.calibrations[place]
    assert checked.model_set["calibration_file"] == str((calibrated / entry.file).resolve())
    assert checked.model_set.items() >= checked.provenance.items()
    noted = {"calibration": entry.sha256, "viral_prior": prior}
    assert checked.provenance.items() >= noted.items()  # never null: the prior in use
    assert load_entry(model_set, entry).viral_prior == prior or "viral_prior" in options
    partial = options.get("frame_rule") == "longest_open"
    assert checked.provenance.get("min_residues") == (30 if partial else None)


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
REFUSED: list[tuple[Callable[[Path], None], str]] = [
    *((other_component(role), f"was made for another {role} (") for role in COMPONENTS),
    (name_the_other, "was made for chunk_bp 300, the set has 500. Calibrate the model set again."),
    (spoil_file({"made_for": None}), "was made for no model set that it names. Calibrate the"),
    (spoil_file({"viral_prior": "0.5"}), "calibration of format 1 (viral_prior"),
    (spoil_file({"viral_prior": 1}), "calibration of format 1 (viral_prior: 1 is not between 0"),
    (spoil_file({"format": 2}), "calibration of format 1 (format: is 2)"),
    *((spoil_file(text), "calibration of format 1 (") for text in ("[]", "{", "", "NaN")),
    (lambda folder: (folder / OWN).unlink(), f"{OWN} is missing. Copy the whole folder again."),
    (lambda folder: edit(folder / OWN, x=1), ", the model set says "),
]  # fmt: skip


@pytest.mark.parametrize("change, words", REFUSED)
def test_a_calibration_that_is_not_the_sets_is_refused(
    tmp_path: Path, calibrated: Path, change: Callable[[Path], None], words: str
) -> None:
    folder = shutil.copytree(calibrated, tmp_path / "set")
    change(folder)
    message = refusal(folder, chunk_length=500)
    assert message.startswith(f"--model_set {folder}:\n  calibration for 500 bp, open: ")
    assert words in message
    model_set = read_model_set(folder)  # `models check` and `models list` refuse it too
    with pytest.raises(InputError):
        load_entry(model_set, model_set.calibrations[0])


def part(name: str, **changes: Any) -> Callable[[dict[str, Any]], None]:
    """Return a change of a component's entry."""
    return lambda description: description["components"][name].update(changes)


def several(*changes: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
    return lambda description: [change(description) for change in changes] and None


def whole(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda description: description.update(changes)


# change of modelset.json, or its text; further options; what is said, {} is the folder above the set
MISFITS: list[tuple[Callable[[dict[str, Any]], None] | str | None, dict[str, Any], str]] = [
    (part("classifier", input_width=3328), {}, "the encoders give 64 + 64 numbers a frame, the classifier takes 3328"),
    (part("classifier", frame_counts=785), {}, "components.classifier.frame_counts (is now called composition_features)"),
    (part("classifier", composition_features=7), {}, "components.classifier.composition_features (must be 0 or 785)"),
    (several(part("esm2", file="gone.safetensors"), part("tokenizer", file="../store/t.json")), {"chunk_length": 400},
     "  tokenizer: ../store/t.json is missing. The set refers to a store of components beside it: copy {0}/store too, or give --weights_dir.\n"
     "  esm2: gone.safetensors is missing. Copy the whole folder again, or give --weights_dir.\n"
     "  --chunk_length 400: the model set random was trained on 500, 300 bp."),
    (several(part("esm2", sha256="abc"), part("dnabert_s", width=None, file=7), whole(name="", chunk_bp=[0])), {},
     "modelset.json: missing or not as docs/model_sets.md says: name (must be a text of one line), chunk_bp.0 (must be an integer >= 1), "
     "components.dnabert_s.file (must be a file name without dollar signs and control characters), components.dnabert_s.width (must be an integer >= 1), "
     "components.esm2.sha256 (must be 64 hexadecimal digits). Build or fetch the set again, or fix modelset.json."),
    (whole(format=2), {}, "modelset.json: has format 2, this version reads 1."),
    (whole(components=[]), {}, "says: components (must be an object). Build"),
    (whole(components={}), {}, "components.dnabert_s (missing), components.tokenizer (missing)"),
    *((part("tokenizer", file=file), {}, "components.tokenizer.file (must be a file name without dollar signs and control characters)")
      for file in ("", "a$b.json", "e\ntouch\tx\ny.json")),
    (None, {}, "there is no modelset.json in it. Give the folder of a model set, or a name: compact-300, compact-500."),
    *((text, {}, "modelset.json: is not readable JSON (") for text in ('{"name": ', "", "[" * 100_000)),
    ("", {}, "It was cut short or edited: copy it again."),
    ("[]", {}, "modelset.json: is JSON, but not an object."),
    (whole(frame_rule={"rule": "longest"}), {}, "requires the frame rule 'longest', which this version does not have"),
    (whole(), {"viral_prior": 0.1}, "--viral_prior 0.1: the model set random is not calibrated for chunks of 500 bp and the frame rule open (it is for: nothing)"),
    (whole(), {"chunk_length": 400}, "--chunk_length 400: the model set random was trained on 500, 300 bp."),
    (whole(), {"min_length": 500, "max_length": 499}, "--min_length 500 is more than --max_length 499: no sequence"),
    (several(part("esm2", file="esm2/model.safetensors"), part("dnabert_s", file="dnabert_s/model.safetensors")),
     {"weights_dir": "/opt/weights"}, "dnabert_s and esm2 are both called model.safetensors"),
    (whole(name="a\nb"), {}, "name (must be a text of one line)"),
    ('{"measured": NaN}', {}, "modelset.json: is not readable JSON (NaN is not a number of JSON)"),
    ('{"measured": 1e999}', {}, "(1e999 is not a number of JSON)"),
    (whole(), {"faults": {"modelset.json": "is a folder"}}, "modelset.json is a folder."),
    (whole(), {"faults": {"esm2.safetensors": "is a folder"}}, "  esm2: esm2.safetensors is a folder."),
    (whole(), {"set_name": "new", "outdir": "s3://bucket/out"}, "--outdir s3://bucket/out: the new model set refers to files of this machine"),
]  # fmt: skip


@pytest.mark.parametrize("change, options, words", MISFITS)
def test_a_model_set_that_does_not_fit_is_refused(
    tmp_path: Path, model_set: Path, change: Any, options: dict[str, Any], words: str
) -> None:
    folder = shutil.copytree(model_set, tmp_path / "set")
    description = json.loads((folder / "modelset.json").read_text())
    (folder / "modelset.json").unlink()
    if callable(change):
        change(description)
        (folder / "modelset.json").write_text(json.dumps(description))
    elif change is not None:
        (folder / "modelset.json").write_text(change)
    assert words.format(tmp_path) in refusal(folder, **options)


def test_a_component_is_staged_or_found_by_the_task(tmp_path: Path, model_set: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(model_set)
    staged = check(link).model_set["files"]["esm2"]
    assert staged["path"] == str(model_set / "esm2.safetensors")  # by its real path
    assert staged["at"] is None
    (copy := tmp_path / "copy").mkdir()
    shutil.copy(model_set / "modelset.json", copy)  # weights are not on this machine
    unstaged = check(copy, weights_dir="/node local/w").model_set["files"]["esm2"]
    assert unstaged == {**staged, "path": None, "at": "/node local/w/esm2.safetensors"}


def test_a_trained_set_refers_to_its_base(tmp_path: Path, model_set: Path) -> None:
    options: dict[str, Any] = {"set_name": "new", "chunk_length": 400, "frame_rule": "longest_open"}
    checked = check(model_set, outdir=str(tmp_path / "out"), **options)
    trained = checked.trained_set
    assert trained is not None
    assert (trained["name"], trained["chunk_bp"]) == ("new", 400)  # of any length
    assert trained["base"] == {"name": "random", "digest": read_model_set(model_set).digest}
    assert trained["frame_rule"] == {"rule": "longest_open", "min_residues": 20}
    assert trained["licence"] == "encoders: as the base set; classifier: yours"
    assert trained["components"].keys() == {"dnabert_s", "tokenizer", "esm2"}
    reference = trained["components"]["esm2"]["file"]
    assert reference.startswith("../")  # both can be moved together
    assert (tmp_path / "out" / "new" / reference).resolve() == model_set / "esm2.safetensors"
    elsewhere = check(model_set, outdir="/elsewhere/out", **options).trained_set
    assert elsewhere is not None
    assert elsewhere["components"]["esm2"]["file"] == str(model_set / "esm2.safetensors")
    assert check(model_set).trained_set is None


def profile_of(model_set: Path, **changes: Any) -> dict[str, Any]:
    """Return what `virnucpro profile` might write for a set."""
    components = json.loads((model_set / "modelset.json").read_text())["components"]
    encoders = {
        name: {"attention": attention, "token_budget": budget, "component_sha256": components[name]["sha256"]}
        for name, attention, budget in [("dnabert_s", "sdpa", 4096), ("esm2", "reference", 8192)]
    }  # fmt: skip
    head = {"format": 1, "device_type": "cpu", "asked_precision": "auto", "precision": "fp32"}
    return {**head, "encoders": encoders, **changes}


def test_what_only_esm2_can_do_is_not_asked_of_dnabert_s(model_set: Path) -> None:
    encoders = check(model_set, {"attention": "varlen"}).model_set["encoders"]
    assert [encoders[name]["attention"] for name in ("dnabert_s", "esm2")] == ["auto", "varlen"]


OFFICIAL = "--engine official computes in fp32 with its own attention and batches: omit --{}"
SETS = "--engine_profile sets attention and token_budget: omit --attention and --token_budget"
EXCLUDED: list[tuple[dict[str, Any], list[str]]] = [
    *(({"device": "cpu", "precision": p}, [f"--precision {p} needs a GPU: with --device cpu use auto, fp32 or bf16"])
      for p in ("tf32", "fp16")),
    ({"device": "cpu", "precision": "fp8"}, ["--precision fp8: ESM-2 of the model set random was never measured with it. Measure it", "--precision fp8 needs a GPU: with --device cpu use auto, fp32 or bf16"]),
    *(({"device": "cpu", "attention": a}, [f"--attention {a} needs a GPU: with --device cpu use auto, sdpa or reference"])
      for a in ("triton", "varlen", "flash")),
    ({"device": "cpu", "precision": "bf16", "attention": "sdpa"}, []),
    ({"precision": "fp16", "attention": "flash"}, []),
    ({"engine": "official", "precision": "bf16", "attention": "sdpa", "token_budget": 2048},
     [OFFICIAL.format(name) for name in ("precision", "attention", "token_budget")]),
    ({"engine": "official", "precision": "fp32"}, []),
    ({"engine": "official", "engine_profile": "x.json"}, [OFFICIAL.format("engine_profile")]),
    ({"engine_profile": "x.json", "token_budget": 2048}, [SETS]),
    ({"engine_profile": "x.json", "attention": "sdpa"}, [SETS]),
]  # fmt: skip


@pytest.mark.parametrize("engine, faults", EXCLUDED)
def test_options_that_exclude_each_other_are_all_reported(
    model_set: Path, engine: dict[str, Any], faults: list[str]
) -> None:
    if not faults:
        assert check(model_set, engine).model_set["encoders"]["esm2"]["engine"]
        return
    lines = refusal(model_set, engine).splitlines()
    assert lines[0] == f"--model_set {model_set}:" and len(lines) == len(faults) + 1
    for line, fault in zip(lines[1:], faults, strict=True):
        assert line.startswith(f"  {fault}")


PROFILES: list[tuple[Any, dict[str, Any], list[str]]] = [
    (None, {}, ["there is no such file."]),
    ('{"format": ', {}, ["is not a JSON file ("]),
    ({"format": 2}, {}, ["is not a file of virnucpro profile. Make it again with virnucpro profile."]),
    ({"device_type": "cuda"}, {"device": "cpu"}, ["it was measured on a GPU"]),
    ({}, {"precision": "bf16"}, ["it was measured with --precision auto"]),
    ({}, {"precision": "fp32"}, []),  # what auto chose
    ({"encoders": {"esm2": {"attention": "sdpa; touch here", "token_budget": "9", "component_sha256": ""}}}, {},
     ["encoders.esm2.attention is sdpa; touch here", "encoders.esm2.token_budget is 9",
      "encoders.esm2 is another than that of --model_set", "encoders.dnabert_s.attention is None"]),
]  # fmt: skip


@pytest.mark.parametrize("content, engine, words", PROFILES)
def test_a_profile_is_used_or_refused(
    tmp_path: Path, model_set: Path, content: Any, engine: dict[str, Any], words: list[str]
) -> None:
    file = None
    if content is not None:
        file = tmp_path / "profile.json"
        text = content if isinstance(content, str) else json.dumps(profile_of(model_set, **content))
        file.write_text(text)
    engine = {"engine_profile": "p.json", **engine}
    if not words:
        encoders = check(model_set, engine, file).model_set["encoders"]
        assert (encoders["esm2"]["attention"], encoders["esm2"]["token_budget"]) == (
            "reference",
            8192,
        )
        assert (encoders["dnabert_s"]["attention"], encoders["dnabert_s"]["token_budget"]) == ("sdpa", 4096)  # fmt: skip
        return
    message = refusal(model_set, engine, file)
    assert "\n  --engine_profile p.json:" in message
    assert [word for word in words if word not in message] == [], message


@pytest.mark.parametrize(
    "certified, words",
    [
        (None, "was never measured with it"),
        ({"fp16": {"esm2": {"passed": True, "model_set_digest": "own"}}}, "was never measured with it"),
        ({"fp8": {"esm2": {"passed": True, "model_set_digest": "0"}}}, "was measured with other files than the set has now"),
        ({"fp8": {"esm2": {"passed": True, "model_set_digest": "own"}}}, ""),
        ({"fp8": {"esm2": {"passed": False, "model_set_digest": "own", "faults": ["a", "b"]}}}, "failed: a, b"),
    ],
)  # fmt: skip
def test_8_bits_are_refused_unless_they_were_measured_on_these_weights(
    tmp_path: Path, model_set: Path, certified: Any, words: str
) -> None:
    folder = shutil.copytree(model_set, tmp_path / "set")
    digest = read_model_set(folder).digest
    certified = json.loads(json.dumps(certified).replace('"own"', f'"{digest}"'))
    edit(folder / "modelset.json", certified=certified)
    if not words:
        assert (
            check(folder, {"precision": "fp8"}).model_set["encoders"]["esm2"]["precision"] == "fp8"
        )
        return
    message = refusal(folder, {"precision": "fp8"})
    assert f"--precision fp8: ESM-2 of the model set random {words}" in message
    assert f"virnucpro models check {folder} --certify --device cuda" in message


def test_a_bundled_set_is_too_small_for_analysis_and_so_is_what_is_trained_on_it(
    tmp_path: Path, model_set: Path
) -> None:
    """Whatever the name: it is a matter of the encoders."""
    models = Path(__file__).parents[2] / "models"
    official = (models.parent / "assets/models.toml").read_text()
    for chunk_bp in (300, 500):
        copy = shutil.copytree(models / f"compact-{chunk_bp}", tmp_path / f"mine_{chunk_bp}")
        edit(copy / "modelset.json", name="mine")
        note = check(copy).model_set["note"]
        assert note.startswith("Model set mine is too small for analysis: ")
        assert f"`virnucpro models fetch virnucpro-{chunk_bp} -o " in note
        assert f"[sets.virnucpro-{chunk_bp}]" in official
        assert "note" not in check(copy).provenance  # an input of SUMMARISE
    trained = check(copy, set_name="t", outdir=str(tmp_path / "out")).trained_set
    assert trained is not None
    description = json.loads((copy / "modelset.json").read_text())
    description["components"] |= trained["components"] | {
        "classifier": description["components"]["classifier"] | {"source": "trained by me"}
    }
    folder = tmp_path / "out" / "t"
    shutil.copytree(copy, folder)
    (folder / "modelset.json").write_text(json.dumps(description))
    assert "too small" in check(folder).model_set["note"]
    assert check(model_set).model_set["note"] is None
