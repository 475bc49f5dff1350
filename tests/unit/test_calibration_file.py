"""Calibration files: written, read, and refused with place and cause."""

import dataclasses
import hashlib
import json
import math

import pytest

from virnucpro.consensus.calibration_file import load_calibration, to_json
from virnucpro.consensus.calibrator import Bin, Calibration, Isotonic, MadeFor, Rates, Temperature
from virnucpro.errors import InputError

RATES = Rates((-1.0, 0.0, 0.5, 0.8), (1.0, 0.9, 0.6, 0.2), (1.0, 0.3, 0.1, 0.05))
ONE = Bin(1, Temperature(2.0, 0.0), RATES)
FEW = Bin(2, Temperature(1.0, -0.5), RATES)
MANY = Bin(5, Isotonic((-0.6, 0.0, 0.4), (0.1, 0.3, 0.9)), RATES)
SUMS = {role: role[0] * 64 for role in ("dnabert_s", "tokenizer", "esm2", "classifier")}
MADE_FOR = MadeFor(500, "longest_open", 20, SUMS)
CALIBRATION = Calibration(
    (ONE, FEW, MANY), made_for=MADE_FOR, measured={"made": "by hand"}
)  # fmt: skip


def test_a_file_comes_back_as_it_was(tmp_path):
    path = tmp_path / "c.json"
    for calibration in (CALIBRATION, dataclasses.replace(CALIBRATION, made_for=None)):
        path.write_text(to_json(calibration))
        found = load_calibration(path)
        assert found == calibration and found.measured == {"made": "by hand"}
        assert to_json(found) == path.read_text()


def test_a_sha256_may_be_written_in_either_case(tmp_path):
    path = tmp_path / "c.json"
    path.write_text(to_json(CALIBRATION))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert load_calibration(path, digest.upper()) == load_calibration(path, digest) == CALIBRATION


def spoiled(change) -> str:
    content = json.loads(to_json(CALIBRATION))
    change(content)
    return json.dumps(content)


def setter(value, *keys):
    def change(content):
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = value

    return change


def remover(*keys):
    def change(content):
        for key in keys[:-1]:
            content = content[key]
        del content[keys[-1]]

    return change


@pytest.mark.parametrize(
    "change, words",
    [
        (setter(2, "format"), "format: is 2"),
        (remover("format"), "format: is None"),
        (remover("bins"), "bins: is missing"),
        (setter({}, "bins"), "bins: is not a list"),
        (setter([], "bins"), "bins: start at [] chunks"),
        (setter("x", "bins", 1), "bins.1: is not a JSON object"),
        (remover("bins", 0), "bins: start at [2, 5] chunks, not at 1"),
        (setter(5, "bins", 1, "min_chunks"), "bins: start at [1, 5, 5] chunks"),
        (setter(1.5, "bins", 0, "min_chunks"), "bins.0.min_chunks: must be an integer >= 1"),
        (setter(True, "bins", 0, "min_chunks"), "bins.0.min_chunks: must be an integer >= 1"),
        (setter("platt", "bins", 0, "method"), "bins.0.method: 'platt' is not temperature or isotonic"),
        (setter([], "bins", 0, "method"), "bins.0.method: [] is not temperature or isotonic"),
        (setter(0, "bins", 0, "temperature"), "bins.0.temperature: 0.0 is not above 0"),
        (setter("1.8", "bins", 0, "temperature"), 'bins.0.temperature: "1.8" is not a number'),
        (setter(True, "bins", 0, "temperature"), "bins.0.temperature: true is not a number"),
        (setter(10**400, "bins", 0, "temperature"), "bins.0.temperature: 1000"),
        (setter(math.nan, "bins", 0, "bias"), "NaN is not a JSON number"),
        (setter(None, "bins", 0, "bias"), "bins.0.bias: null is not a number"),
        (remover("bins", 0, "bias"), "bins.0.bias: is missing"),
        (setter([0.1, 0.3], "bins", 2, "p_virus"), "bins.2: delta and p_virus differ in length"),
        (setter([0.1, 0.05, 0.9], "bins", 2, "p_virus"), "bins.2.p_virus: falls"),
        (setter([0.0, 0.3, 0.9], "bins", 2, "p_virus"), "bins.2.p_virus: reaches 0 or 1"),
        (setter([0.1, 0.3, 1.0], "bins", 2, "p_virus"), "bins.2.p_virus: reaches 0 or 1"),
        (setter([0.0, 0.0, 0.4], "bins", 2, "delta"), "bins.2.delta: does not rise"),
        (setter("123", "bins", 2, "delta"), "bins.2.delta: is not a list"),
        (setter(7, "bins", 0, "rates"), "bins.0.rates: is not a JSON object"),
        (setter([-1, 0.5, 0, 1], "bins", 0, "rates", "delta"), "bins.0.rates.delta: does not rise from -1"),
        (setter([-0.9, 0, 0.5, 1], "bins", 0, "rates", "delta"), "does not rise from -1"),
        (setter([1, 0.5], "bins", 0, "rates", "viral"), "bins.0.rates: delta, viral and nonviral differ in length"),
        (setter([1, 0.5, 0.6, 0], "bins", 0, "rates", "viral"), "bins.0.rates.viral: does not fall"),
        (setter([1, 0.5, 0.4, 0], "bins", 0, "rates", "nonviral"), "bins.0.rates.nonviral: reaches 0"),
        (setter(1, "viral_prior"), "viral_prior: 1 is not between 0 and 1"),
        (remover("viral_prior"), "viral_prior: is missing"),
        (setter("0.5", "threshold"), 'threshold: "0.5" is not a number'),
        (setter(0, "threshold"), "threshold: 0 is not between 0 and 1"),
        (setter([], "made_for"), "made_for: is not a JSON object"),
        (setter("500", "made_for", "chunk_bp"), "made_for.chunk_bp: must be an integer >= 1"),
        (setter(0, "made_for", "min_residues"), "made_for.min_residues: must be an integer >= 1"),
        (setter(None, "made_for", "frame_rule"), "made_for.frame_rule: is not a string"),
        (setter(["x"], "made_for", "components"), "made_for.components: is not a JSON object"),
        (setter(7, "made_for", "components", "esm2"), "made_for.components.'esm2': is not a string"),
        (setter("x", "measured"), "measured: is not a JSON object"),
    ],
)  # fmt: skip
def test_a_malformed_file_is_refused_with_place_and_cause(tmp_path, change, words):
    path = tmp_path / "c.json"
    path.write_text(spoiled(change))
    with pytest.raises(InputError) as error:
        load_calibration(path)
    text = str(error.value)
    assert text.startswith(f"{path}: is not a calibration of format 1 (") and words in text
    assert text.endswith("Copy it again, or calibrate the model set again.")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"3", b'"x"', b"{}", b"null", b"\xff\xfe", b"[" * 100_000]
)
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "c.json").write_bytes(content)
    with pytest.raises(InputError, match="is not a calibration of format 1"):
        load_calibration(tmp_path / "c.json")


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    for path, words in ((tmp_path, "Is a directory"), (tmp_path / "c.json", "No such file")):
        with pytest.raises(InputError, match=f"{path}: cannot be read .{words}"):
            load_calibration(path)


def test_a_file_that_is_not_the_sets_is_refused(tmp_path):
    (tmp_path / "c.json").write_text(to_json(CALIBRATION))
    with pytest.raises(InputError, match="the model set says 000000000000…"):
        load_calibration(tmp_path / "c.json", "0" * 64)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"chunk_bp": 300}, "chunk_bp 500, the set has 300"),
        ({"frame_rule": "open"}, "frame_rule 'longest_open', the set has 'open'"),
        ({"min_residues": 30}, "min_residues 20, the set has 30"),
        *(
            ({"components": {**SUMS, role: "0" * 64}},
             f"another {role} ('{role[0] * 12}', the set has '000000000000')")
            for role in SUMS
        ),
    ],
)  # fmt: skip
def test_a_calibration_of_another_model_or_chunk_is_refused(tmp_path, change, words):
    path = tmp_path / "c.json"
    # as if written by hand: the case of a sum says nothing
    path.write_text(to_json(CALIBRATION).replace("eeee", "EEEE"))
    assert load_calibration(path, made_for=MADE_FOR) == CALIBRATION
    with pytest.raises(InputError) as error:
        load_calibration(path, made_for=dataclasses.replace(MADE_FOR, **change))
    assert str(error.value) == f"{path}: was made for {words}. Calibrate the model set again."


def test_a_calibration_that_names_no_model_is_refused_by_a_set(tmp_path):
    path = tmp_path / "c.json"
    path.write_text(to_json(dataclasses.replace(CALIBRATION, made_for=None)))
    with pytest.raises(InputError, match="was made for no model set that it names. Calibrate"):
        load_calibration(path, made_for=MADE_FOR)
    sums = {role: s for role, s in SUMS.items() if role != "esm2"}
    path.write_text(
        to_json(dataclasses.replace(CALIBRATION, made_for=MadeFor(500, "open", None, sums)))
    )
    with pytest.raises(InputError, match="another esm2 .'none', the set has 'eeeeeeeeeeee'"):
        load_calibration(path, made_for=MADE_FOR)
