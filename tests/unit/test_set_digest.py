"""What the digest of a model set depends on."""

import copy
import hashlib
import json
from pathlib import Path

import pytest

from virnucpro.model_sets.digest import COMPONENTS, set_digest

ROOT = Path(__file__).parents[2]
SET = {
    "format": 1,
    "name": "x",
    "chunk_bp": [500, 300],
    "frame_rule": "open",
    "components": {name: {"file": name, "sha256": name[0] * 64} for name in COMPONENTS},
}


def test_the_digest_is_of_these_lines() -> None:
    lines = ["format 1", "chunk_bp 500,300", "frame_rule open"]
    lines += [f"{name} {name[0] * 64}" for name in ("dnabert_s", "tokenizer", "esm2", "classifier")]
    text = "".join(f"{line}\n" for line in lines)
    assert set_digest(SET) == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("key, value", [("name", "y"), ("licence", "z"), ("measured", {"a": 1})])
def test_notes_do_not_count(key: str, value: object) -> None:
    assert set_digest({**SET, key: value}) == set_digest(SET)


def test_places_do_not_count_and_sums_do() -> None:
    other = copy.deepcopy(SET)
    other["components"]["esm2"]["file"] = "../components/e.safetensors"
    assert set_digest(other) == set_digest(SET)
    for name in COMPONENTS:
        other = copy.deepcopy(SET)
        other["components"][name]["sha256"] = "0" * 64
        assert set_digest(other) != set_digest(SET)


def test_the_embedded_set_has_one() -> None:
    for file in (ROOT / "models").glob("*/modelset.json"):
        assert len(set_digest(json.loads(file.read_text()))) == 64


@pytest.mark.parametrize(
    "line, written",
    [
        ("open", ['"open"', '{"rule": "open"}', '{"min_residues": 20, "rule": "open"}']),
        ("open 30", ['{"rule": "open", "min_residues": 30}']),  # by --frame_rule longest_open
        ("longest_open 20", [
            '"longest_open"', '{"rule": "longest_open"}', '{"rule": "longest_open", "note": 1}',
            '{"rule": "longest_open", "min_residues": null}',
            '{"min_residues": 20, "rule": "longest_open"}',
            '{"rule": "longest_open", "min_residues": 20.0}',
            '{"rule": "longest_open", "min_residues": 2e1}',
        ]),
        ("longest_open 30", ['{"rule": "longest_open", "min_residues": 30}']),
    ],
)  # fmt: skip
def test_equal_frame_rules_give_one_digest(line: str, written: list[str]) -> None:
    for text in written:
        lines = ["format 1", "chunk_bp 500,300", f"frame_rule {line}"]
        lines += [f"{name} {name[0] * 64}" for name in COMPONENTS]
        expected = hashlib.sha256("".join(f"{x}\n" for x in lines).encode()).hexdigest()
        assert set_digest({**SET, "frame_rule": json.loads(text)}) == expected, text


def test_calibrations_count_in_any_order_and_case() -> None:
    entries = [
        {"chunk_bp": bp, "frame_rule": "open", "file": "c.json", "sha256": "c" * 64}
        for bp in (500, 300)
    ]
    calibrated = set_digest({**SET, "calibration": entries})
    assert calibrated == set_digest({**SET, "calibration": entries[::-1]}) != set_digest(SET)
    assert set_digest({**SET, "calibration": None}) == set_digest(SET)
    assert set_digest({**SET, "calibration": []}) == set_digest(SET)
    upper = [{**entries[0], "sha256": "C" * 64, "file": "elsewhere.json"}, entries[1]]
    assert set_digest({**SET, "calibration": upper}) == calibrated
    other = [{**entries[0], "sha256": "d" * 64}, entries[1]]
    assert set_digest({**SET, "calibration": other}) != calibrated
