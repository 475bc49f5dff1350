"""Every sequence is accounted for, whatever the shards; calls by scores and by calibration."""

import random

import pytest
from samples import (
    CALIBRATION,
    CHUNK_BP,
    RECORDS,
    RESULTS,
    STOPS,
    contents,
    make_sample,
    read_fasta,
    rows,
)

from virnucpro.calls.sample_files import SampleFiles
from virnucpro.calls.summarise_task import REASONS, summarise_sample
from virnucpro.consensus.calibrator import Calibrator
from virnucpro.sequences.length_range import LENGTH_REASONS, LengthRange
from virnucpro.sequences.no_vector import NO_VECTOR_REASONS

OF_THE_ORIGINAL = ("prediction_results.txt", "prediction_results_highestscore.csv")


def test_every_record_has_a_row_and_the_counts_add_up(files, out):
    counts = summarise_sample(files, CHUNK_BP, out)
    assert {path.name for path in out.iterdir()} == RESULTS  # and no temporary file
    sequences = rows(out / "sequences.tsv")
    assert [row["sequence_id"] for row in sequences] == list(RECORDS)
    assert [row["length_bp"] for row in sequences] == [str(len(s)) for s in RECORDS.values()]
    assert {row["file"] for row in sequences} == {"in.fa"}
    assert [row["sequence_id"] for row in rows(out / "contigs.tsv")] == list(RECORDS)

    assert counts["sequences"] == len(RECORDS)
    verdicts = ("viral", "non-viral")
    assert sum(counts.get(key, 0) for key in (*verdicts, *REASONS)) == len(RECORDS)
    for verdict in verdicts:
        assert counts[verdict] == sum(row["call"] == verdict for row in sequences) > 0
    for reason in REASONS:
        num_rows = sum(row["reason"] == reason for row in sequences)
        is_here = reason not in (*LENGTH_REASONS, *NO_VECTOR_REASONS)
        assert counts.get(reason, 0) == num_rows == is_here
    frames = rows(out / "prediction_results.txt")
    consensus = rows(out / "prediction_results_highestscore.csv")
    assert counts["frames"] == len(frames) == sum(int(row["frames"]) for row in sequences)
    assert counts["chunks"] == sum(int(row["chunks"]) for row in sequences)
    called = sum(int(row["chunks_called"]) for row in sequences)
    assert called == len(consensus) == counts["chunks_viral"] + counts["chunks_nonviral"]
    assert counts["chunks_viral"] == sum(row["Is_Virus"] == "True" for row in consensus)


def test_reasons_of_sequences_without_a_call(files, out):
    summarise_sample(files, CHUNK_BP, out)
    found = {row["sequence_id"]: row for row in rows(out / "sequences.tsv")}
    reasons = {name: found[name]["reason"] for name in list(RECORDS)[:4]}
    assert reasons == {"empty": "empty", "short": "too_short", "letters": "no_codon",
                       "stops": "no_open_frame"}  # fmt: skip
    assert {found[name]["call"] for name in reasons} == {"none"}
    assert all(row["reason"] == "" for name, row in found.items() if name not in reasons)
    # the last of its chunks has no open frame, and is in neither table of the original
    assert (found["last_without"]["chunks"], found["last_without"]["chunks_called"]) == ("2", "1")
    text = (out / "prediction_results.txt").read_text()
    assert "last_without_chunk_1F1\t" in text and "last_without_chunk_2" not in text


def test_no_records_give_header_only_tables(tmp_path, out):
    counts = summarise_sample(make_sample(tmp_path / "w", {}), CHUNK_BP, out)
    assert sum(counts.values()) == 0
    assert {path.name for path in out.iterdir()} == RESULTS
    assert (out / "viral.fasta").read_text() == ""
    assert (out / "regions.bed").read_text() == ""
    for name in RESULTS - {"viral.fasta", "regions.bed"}:
        assert len((out / name).read_text().splitlines()) == 1, name
    assert (out / "prediction_results.txt").read_text() == (
        "Sequence_ID\tPrediction\tscore1\tscore2\n"
    )
    assert (out / "prediction_results_highestscore.csv").read_text() == "Modified_ID\tIs_Virus\n"


def test_no_open_frame_gives_a_row_with_the_reason(tmp_path, out):
    files = make_sample(tmp_path / "w", {"x": STOPS * 50})
    assert files.score_tables == []
    assert summarise_sample(files, CHUNK_BP, out)["no_open_frame"] == 1
    assert rows(out / "prediction_results.txt") == []
    assert [row["reason"] for row in rows(out / "sequences.tsv")] == ["no_open_frame"]


def test_a_calibration_at_equal_frequencies_adds_columns_and_keeps_these_calls(files, out):
    # a temperature without a bias: the sign of the delta still decides
    summarise_sample(files, CHUNK_BP, out)
    raw = {path.name: path.read_text() for path in out.iterdir()}
    raw_rows = {name: rows(out / name) for name in ("contigs.tsv", "chunks.tsv")}
    summarise_sample(files, CHUNK_BP, out, Calibrator(CALIBRATION))
    for name in RESULTS - {"contigs.tsv", "chunks.tsv"}:
        assert (out / name).read_text() == raw[name], name
    for name, before in raw_rows.items():
        for row, old in zip(rows(out / name), before, strict=True):
            assert old["p_virus"] == "" and bool(row["p_virus"]) == (row["call"] != "none")
            assert row | {"p_virus": "", "fdr": ""} == old | {"fdr": ""}
    for row in rows(out / "contigs.tsv"):
        assert bool(row["fdr"]) == (row["call"] == "viral")
        if row["call"] != "none":
            delta = float(row["weighted_delta"])
            odds = ((1 + delta) / (1 - delta)) ** 0.5
            assert float(row["p_virus"]) == pytest.approx(odds / (1 + odds), abs=1e-6)
    assert {row["fdr"] for row in rows(out / "contigs.tsv")} <= {"", "0.5", "0.16666667"}


def test_a_prior_changes_calls_everywhere_but_in_the_tables_of_the_original(files, out):
    summarise_sample(files, CHUNK_BP, out, Calibrator(CALIBRATION))
    before = {path.name: path.read_text() for path in out.iterdir()}
    counts = summarise_sample(files, CHUNK_BP, out, Calibrator(CALIBRATION, 0.999999))
    assert all((out / name).read_text() == before[name] for name in OF_THE_ORIGINAL)
    assert counts.get("non-viral", 0) == counts["chunks_nonviral"] == 0
    called = {row["sequence_id"]: row["call"] for row in rows(out / "contigs.tsv")}
    assert set(called.values()) == {"viral", "none"}
    assert {r["sequence_id"]: r["call"] for r in rows(out / "sequences.tsv")} == called
    assert {r["call"] for r in rows(out / "chunks.tsv")} == {"viral", "none"}
    assert set(read_fasta(out / "viral.fasta")) == {n for n, c in called.items() if c == "viral"}
    regions = [line.split("\t") for line in (out / "regions.bed").read_text().splitlines()]
    assert ["r3333", "0", "3333"] in [region[:3] for region in regions]
    against = [r for r in rows(out / "contigs.tsv") if r["weighted_delta"].startswith("-")]
    assert against and {row["tier"] for row in against} == {"review"}


def test_the_order_of_the_files_does_not_show(files, out):
    summarise_sample(files, CHUNK_BP, out)
    expected = contents(out)
    assert len(files.chunk_files) > 5
    for seed in range(4):
        lists = [list(files.chunk_files), list(files.chunk_tables), list(files.score_tables)]
        for paths in lists:
            random.Random(seed).shuffle(paths)
            seed += 10
        summarise_sample(SampleFiles("s", files.records, files.shards, *lists), CHUNK_BP, out)
        assert contents(out) == expected


@pytest.mark.parametrize("shard_tokens", [0, 1, 1000])
def test_the_size_of_the_shards_does_not_show(files, out, tmp_path, shard_tokens):
    summarise_sample(files, CHUNK_BP, out)
    expected = contents(out)
    other = make_sample(tmp_path / "other", RECORDS, shard_tokens=shard_tokens)
    assert len(other.chunk_files) != len(files.chunk_files)
    summarise_sample(other, CHUNK_BP, out)
    assert contents(out) == expected


def test_an_earlier_result_is_replaced(files, out):
    (out / "viral.fasta").write_text(">old\nA\n")
    summarise_sample(files, CHUNK_BP, out)
    assert "old" not in read_fasta(out / "viral.fasta")


def test_sequences_of_other_lengths_are_accounted_for(tmp_path, out):
    files = make_sample(tmp_path / "w", RECORDS, lengths=LengthRange(300, 900))
    counts = summarise_sample(files, CHUNK_BP, out)
    found = {row["sequence_id"]: row for row in rows(out / "sequences.tsv")}
    lengths_bp = {name: len(sequence) for name, sequence in RECORDS.items()}
    for name, length_bp in lengths_bp.items():
        row = found[name]
        assert row["length_bp"] == str(length_bp)
        if 300 <= length_bp <= 900:
            assert row["reason"] == "" and row["call"] != "none" and row["chunks"] != "0"
        else:
            reason = "shorter_than_min_length" if length_bp < 300 else "longer_than_max_length"
            assert (row["reason"], row["call"], row["chunks"]) == (reason, "none", "0")
    assert (counts["shorter_than_min_length"], counts["longer_than_max_length"]) == (6, 2)
    assert counts["viral"] + counts["non-viral"] + 8 == counts["sequences"] == len(RECORDS)
    assert [row["sequence_id"] for row in rows(out / "contigs.tsv")] == list(RECORDS)


def test_a_sample_of_other_lengths_only_gives_rows_with_the_reason(tmp_path, out):
    files = make_sample(tmp_path / "w", RECORDS, lengths=LengthRange(10_000))
    counts = summarise_sample(files, CHUNK_BP, out)
    assert counts["shorter_than_min_length"] == counts["sequences"] == len(RECORDS)
    assert len(rows(out / "prediction_results.txt")) == 0
    assert (out / "prediction_results_highestscore.csv").read_text() == "Modified_ID\tIs_Virus\n"
