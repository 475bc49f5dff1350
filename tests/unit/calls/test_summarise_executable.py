"""bin/vnp_summarise.py."""

import hashlib
import io
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
from samples import (
    CALIBRATION,
    CHUNK_BP,
    RATES,
    RESULTS,
    make_sample,
    rows,
    visible,
)

from virnucpro.calls.manifest import read_manifest
from virnucpro.calls.summarise_task import REASONS
from virnucpro.consensus.calibration_file import to_json
from virnucpro.consensus.calibrator import Bin, Calibration, Temperature
from virnucpro.model_sets.calibration_entries import load_entry, made_for
from virnucpro.model_sets.description import read_model_set
from virnucpro.sequences.sample_warnings import write_warnings
from virnucpro.training.set_folder import write_calibration

ROOT = Path(__file__).parents[3]
SUMMARY = ROOT / "subworkflows/local/utils_virnucpro_pipeline/summary.nf"


@pytest.fixture
def arguments(files):
    def make(**changes):
        lists = {"chunks": files.chunk_files, "chunk-tables": files.chunk_tables,
                 "scores": files.score_tables, **changes}  # fmt: skip
        argv = ["--sample", "s", "--chunk-length", str(CHUNK_BP)]
        argv += ["--records", str(files.records), "--shards", str(files.shards)]
        argv += ["--warnings", str(files.records.with_name("s.warnings.txt"))]
        for option, paths in lists.items():
            argv += [f"--{option}", *map(str, paths)]
        return argv

    return make


def test_the_executable_writes_the_folder_and_a_row(
    files, arguments, executables, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert executables["summarise"](arguments()) == 0
    assert visible(tmp_path / "s") == RESULTS | {"manifest.json"}
    for name, (num_bytes, digest) in read_manifest(tmp_path / "s").items():
        content = (tmp_path / "s" / name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (num_bytes, digest)
    assert read_manifest(tmp_path / "s").keys() == RESULTS
    (row,) = rows(tmp_path / "s.summary.tsv")
    written = re.search(r"def summaryColumns.*?\n}", SUMMARY.read_text(), re.DOTALL)
    assert written and re.findall(r"'(\S+)'", written[0]) == list(row)  # before any is done
    assert list(row) == [
        "sample", "sequences", "viral", "non-viral", "empty", "too_short", "no_codon",
        "no_open_frame", "shorter_than_min_length", "longer_than_max_length",
        "not_finite", "too_long_for_gpu", "chunks", "chunks_viral", "chunks_nonviral",
        "chunks_partial", "frames", "warnings",
    ]  # fmt: skip
    assert row.pop("sample") == "s" and row.pop("warnings") == ""
    numbers = {column: int(text) for column, text in row.items()}
    called = numbers["viral"] + numbers["non-viral"]
    assert called + sum(numbers[reason] for reason in REASONS) == numbers["sequences"] == 14
    assert numbers["chunks_viral"] + numbers["chunks_nonviral"] < numbers["chunks"]


def test_the_executable_notes_the_models(arguments, executables, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    models = {"model_set": "a 'b' \"c\"", "model_set_digest": "0" * 64}
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(models)))
    assert executables["summarise"]([*arguments(), "--provenance", "-"]) == 0
    assert visible(tmp_path / "s") == RESULTS | {"provenance.json", "manifest.json"}
    note = json.loads((tmp_path / "s" / "provenance.json").read_text())
    assert note == {**models, "sample": "s", "chunk_bp": CHUNK_BP, "warnings": []}


def test_warnings_of_split_come_back_in_the_row_and_in_the_provenance(
    files, arguments, executables, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    write_warnings(files.records.with_name("s.warnings.txt"), ["x\ty.fa: \u00e4, cut", "two"])
    monkeypatch.setattr("sys.stdin", io.StringIO("{}"))
    assert executables["summarise"]([*arguments(), "--provenance", "-"]) == 0
    (row,) = rows(tmp_path / "s.summary.tsv")
    assert row["warnings"] == "x\\ty.fa: \u00e4, cut; two"
    note = json.loads((tmp_path / "s" / "provenance.json").read_text())
    assert note["warnings"] == ["x\\ty.fa: \u00e4, cut", "two"]


def test_the_executable_leaves_no_table_behind_an_error(
    files, arguments, executables, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert executables["summarise"](arguments(scores=files.score_tables[1:])) == 2
    assert "error: sample s: the scores of shard s.00001" in capsys.readouterr().err
    assert not (tmp_path / "s.summary.tsv").exists()
    assert visible(tmp_path / "s") == set()


def test_the_executable_takes_a_sample_without_a_shard(
    executables, tmp_path, monkeypatch, arguments
):
    files = make_sample(tmp_path / "none", {})
    monkeypatch.chdir(tmp_path)
    argv = arguments(chunks=[], scores=[], **{"chunk-tables": []})
    argv[argv.index("--records") + 1] = str(files.records)
    argv[argv.index("--shards") + 1] = str(files.shards)
    assert executables["summarise"](argv) == 0
    assert rows(tmp_path / "s.summary.tsv")[0]["sequences"] == "0"


def test_the_executable_takes_a_calibration_and_a_prior(
    files, arguments, executables, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    text = to_json(CALIBRATION)
    Path("c.json").write_text(text)
    digest = hashlib.sha256(text.encode()).hexdigest()
    option = ["--calibration", "c.json", "--calibration-sha256", digest]
    assert executables["summarise"](arguments() + option) == 0
    some = rows(tmp_path / "s.summary.tsv")[0]
    assert executables["summarise"]([*arguments(), *option, "--viral-prior", "0.9999"]) == 0
    more = rows(tmp_path / "s.summary.tsv")[0]
    assert int(more["viral"]) > int(some["viral"]) and more["non-viral"] == "0"
    # refused: another file, a prior without a calibration, a prior that is none
    option[-1] = "0" * 64
    assert executables["summarise"](arguments() + option) == 2
    assert "c.json: sha256 is" in capsys.readouterr().err
    assert executables["summarise"]([*arguments(), "--viral-prior", "0.5"]) == 2
    assert "--viral-prior needs --calibration" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        executables["summarise"]([*arguments(), "--viral-prior", "1"])
    assert "1 is not between 0 and 1" in capsys.readouterr().err


def test_each_chunk_length_of_a_set_has_its_own_calibration(
    files, arguments, executables, tmp_path, monkeypatch
):
    # a set for 300 and 500 bp; the chunks are of 300
    sums = {role: {"file": role, "sha256": "0" * 64, "width": 2, "input_width": 4}
            for role in ("dnabert_s", "tokenizer", "esm2", "classifier")}  # fmt: skip
    description = {"format": 1, "name": "x", "chunk_bp": [500, CHUNK_BP], "frame_rule": "open"}
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "modelset.json").write_text(json.dumps({**description, "components": sums}))
    of_300 = Calibration((Bin(1, Temperature(3.0, -0.5), RATES),), viral_prior=0.25)
    write_calibration(folder, of_300, CHUNK_BP, "open")
    write_calibration(folder, CALIBRATION, 500, "open")
    model_set = read_model_set(folder)
    (entry,) = (e for e in model_set.calibrations if e.chunk_bp == CHUNK_BP)
    assert load_entry(model_set, entry) == replace(
        of_300, made_for=made_for(model_set, CHUNK_BP, "open")
    )

    monkeypatch.chdir(tmp_path)
    option = ["--calibration", str(folder / entry.file), "--calibration-sha256", entry.sha256]
    assert executables["summarise"](arguments() + option) == 0
    called = [row for row in rows(tmp_path / "s/chunks.tsv") if row["call"] != "none"]
    assert len(called) > 10
    for row in called:
        delta = float(row["score2"]) - float(row["score1"])
        odds = ((1 + delta) / (1 - delta)) ** (1 / 3) * math.exp(-0.5) / 3  # 0.25 / 0.75
        assert float(row["p_virus"]) == pytest.approx(odds / (1 + odds), abs=1e-6)
        assert row["call"] == ("viral" if odds >= 1 else "non-viral")
