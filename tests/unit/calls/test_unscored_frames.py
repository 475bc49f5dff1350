"""Frames without a score: what is called from the others, and what the user is told."""

import csv
import json
import random

import h5py
import numpy as np
import pytest
from samples import CALIBRATION, CHUNK_BP, STOPS, contents, make_sample, read_fasta, rows
from test_verify import MODELS, write_run

from virnucpro.calls.manifest import write_manifest
from virnucpro.calls.summarise_task import SUMMARY_COLUMNS, summarise_sample
from virnucpro.cli.main import main
from virnucpro.consensus.calibrator import Calibrator
from virnucpro.scoring.scores_file import read_scores, write_scores
from virnucpro.verification.sample_folder import content_faults

LETTERS = "".join(random.Random(1).choices("ACG", k=2000))
RECORDS = {"one": LETTERS[:300], "long": LETTERS[300:1200], "lost": LETTERS[1200:1800],
           "stops": STOPS * 10}  # fmt: skip


def is_lost(frame_id: str) -> str:
    """Return why a frame has no score, of those that the tests leave out."""
    if frame_id in ("one_chunk_1F2", "long_chunk_2F1") or frame_id.startswith("lost_chunk_1"):
        return "not_finite"
    if frame_id.startswith(("long_chunk_3", "lost_")):
        return "too_long_for_gpu"
    return ""


def lose(files, reason_of) -> None:
    """Write score tables without the scores of some frames."""
    for path in files.score_tables:
        table = list(read_scores(path))
        scores = np.array([(row.other_text, row.virus_text) for row in table], np.float32)
        ids = [row.frame_id for row in table]
        write_scores(path, ids, scores, [reason_of(frame_id) for frame_id in ids])


@pytest.fixture
def files(tmp_path):
    made = make_sample(tmp_path / "made", RECORDS)
    lose(made, is_lost)
    return made


def test_chunks_and_sequences_are_called_from_the_other_frames(files, tmp_path):
    whole = tmp_path / "whole"
    whole.mkdir()
    complete = make_sample(tmp_path / "complete", RECORDS)
    summarise_sample(complete, CHUNK_BP, whole)
    out = tmp_path / "s"
    out.mkdir()
    warnings: list[str] = []
    counts = summarise_sample(files, CHUNK_BP, out, warnings=warnings)
    frames = rows(out / "prediction_results.txt")
    kept = [
        row for row in rows(whole / "prediction_results.txt") if not is_lost(row["Sequence_ID"])
    ]
    assert frames == kept and len(frames) == counts["frames"]

    chunks = {row["chunk_id"]: row for row in rows(out / "chunks.tsv")}
    assert chunks["one_chunk_1"]["frames"] == "oOoooo"
    assert chunks["one_chunk_1"]["call"] != "none" and chunks["one_chunk_1"]["reason"] == ""
    best = max(float(row["score2"]) for row in frames if row["Sequence_ID"].startswith("one_"))
    assert float(chunks["one_chunk_1"]["score2"]) == best
    lost = chunks["long_chunk_3"]
    assert (lost["frames"], lost["call"], lost["reason"]) == ("OOOOOO", "none", "too_long_for_gpu")
    assert lost["score1"] == lost["score2"] == ""

    sequences = {row["sequence_id"]: row for row in rows(out / "sequences.tsv")}
    assert (sequences["one"]["frames"], sequences["one"]["reason"]) == ("5", "")
    num_chunks = int(sequences["long"]["chunks"])
    assert int(sequences["long"]["chunks_called"]) == num_chunks - 1
    assert (sequences["lost"]["call"], sequences["lost"]["reason"]) == ("none", "not_finite")
    assert sequences["stops"]["reason"] == "no_open_frame"
    assert "lost" not in read_fasta(out / "viral.fasta")
    assert (counts["not_finite"], counts.get("too_long_for_gpu", 0)) == (1, 0)

    not_finite, too_long = warnings
    assert not_finite.startswith(
        "frame one_chunk_1F2: its vector is not finite, in float32 either (8 such frames in 3 "
        "sequences): left out."
    )
    num_too_long = 6 + 6 * (int(sequences["lost"]["chunks"]) - 1)
    assert too_long.startswith(
        f"frame long_chunk_3F1: it is too long for the GPU's memory ({num_too_long} such frames in "
        "2 sequences): left out."
    )


def test_a_sample_with_every_score_has_no_warning(tmp_path):
    out = tmp_path / "s"
    out.mkdir()
    warnings: list[str] = []
    summarise_sample(make_sample(tmp_path / "made", RECORDS), CHUNK_BP, out, warnings=warnings)
    assert warnings == []
    assert all(row["frames"].islower() for row in rows(out / "chunks.tsv"))


def test_a_partial_frame_without_a_score_is_not_counted_as_one_that_scores(tmp_path):
    records = {"p": "ACG" * 60 + STOPS * 8, "q": "CAG" * 60 + STOPS * 8 + "ACG" * 100}
    made = make_sample(tmp_path / "made", records, min_residues=5)
    lose(made, lambda frame_id: "not_finite" if "_chunk_1" in frame_id else "")
    outdir = tmp_path / "out"
    counts = write_results(outdir, made)
    assert rows(outdir / "s/chunks.tsv")[0]["frames"].strip("s") == "P"
    assert rows(outdir / "s/sequences.tsv")[0]["reason"] == "not_finite"
    called = [row for row in rows(outdir / "s/chunks.tsv") if row["call"] != "none"]
    assert counts["chunks_partial"] == sum(row["partial_frame"] != "" for row in called)
    assert main(["verify", str(outdir)]) == 0


def write_results(outdir, files, calibrator=None) -> dict[str, int]:
    """Write a result folder that `virnucpro verify` takes."""
    (outdir / "s").mkdir(parents=True)
    counts = summarise_sample(files, CHUNK_BP, outdir / "s", calibrator)
    (outdir / "s/provenance.json").write_text(json.dumps({**MODELS, "sample": "s"}))
    write_manifest(outdir / "s")
    numbers = [str(counts.get(column, 0)) for column in SUMMARY_COLUMNS]
    write_run(outdir, ["\t".join(["s", *numbers, "x", "0" * 64, "done", "", "note"])])
    return counts


@pytest.mark.parametrize("calibrator", [None, Calibrator(CALIBRATION)])
def test_a_result_with_such_frames_can_be_verified(files, tmp_path, capsys, calibrator):
    outdir = tmp_path / "out"
    write_results(outdir, files, calibrator)
    assert main(["verify", str(outdir)]) == 0, capsys.readouterr().out


@pytest.mark.parametrize(
    "name, before, after",
    [
        ("chunks.tsv", "oOoooo", "oooooo"),
        ("chunks.tsv", "\tOOOOOO", "\tssssss"),
        ("chunks.tsv", "none\ttoo_long_for_gpu", "none\tno_open_frame"),
        ("sequences.tsv", "none\tnot_finite", "none\tno_open_frame"),
    ],
)
def test_verify_sees_when_such_frames_are_lost(files, tmp_path, name, before, after):
    outdir = tmp_path / "out"
    write_results(outdir, files)
    path = outdir / "s" / name
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after, 1))
    write_manifest(outdir / "s")
    assert main(["verify", str(outdir)]) == 1


@pytest.mark.parametrize("num_missing", [0, 1])
def test_verify_expects_a_row_of_embeddings_for_each_frame_to_embed(files, tmp_path, num_missing):
    outdir = tmp_path / "out"
    num_rows = sum(len(list(read_scores(path))) for path in files.score_tables)
    assert write_results(outdir, files)["frames"] < num_rows - 1
    (outdir / "s/embeddings").mkdir()
    for encoder in ("dnabert_s", "esm2"):
        with h5py.File(outdir / f"s/embeddings/s.00001.{encoder}.h5", "w") as file:
            file["ids"] = np.arange(num_rows - num_missing)
    with (outdir / "summary.tsv").open() as summary:
        row = next(csv.DictReader(summary, delimiter="\t"))
    faults = list(content_faults(outdir / "s", row, {}))
    assert len(faults) == 2 * num_missing  # of each encoder


def test_shards_do_not_change_the_result(files, tmp_path):
    one_shard = make_sample(tmp_path / "other", RECORDS, shard_tokens=0)
    lose(one_shard, is_lost)
    results = []
    for name, made in (("a", files), ("b", one_shard)):
        out = tmp_path / name
        out.mkdir()
        summarise_sample(made, CHUNK_BP, out)
        results.append(contents(out))
    assert results[0] == results[1]
