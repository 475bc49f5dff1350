"""Rows and columns of the result tables."""

import random

import numpy as np
import pytest
from Bio.Seq import Seq
from samples import CHUNK_BP, RECORDS, STOPS, make_sample, read_fasta, rows

from virnucpro.calls.summarise_task import summarise_sample
from virnucpro.scoring.scores_file import write_scores

LAST = {"last_without_chunk_2", "stops_chunk_1"}  # chunks that get a partial frame


def test_dropped_codons_are_counted(tmp_path, out):
    files = make_sample(tmp_path / "w", {"x": "ACGNNNACGACGAC", "y": "ACGACG"})
    summarise_sample(files, CHUNK_BP, out)
    column = [row["frames_with_dropped_codons"] for row in rows(out / "sequences.tsv")]
    assert column == ["6", "0"]


def test_rows_repeat_the_text_of_the_scores_and_label_ties(tmp_path, out):
    values = {"F1": (0.5, 0.5), "F2": (0.1, 0.9), "R1": (0.75, 0.25), "R2": (1e-5, 1 / 3)}
    files = make_sample(tmp_path / "w", {"x": "ATGC"})
    ids = [f"x_chunk_1{frame}" for frame in values]
    write_scores(files.score_tables[0], ids, np.array(list(values.values()), np.float32))
    summarise_sample(files, CHUNK_BP, out)
    assert (out / "prediction_results.txt").read_text() == (
        "Sequence_ID\tPrediction\tscore1\tscore2\n"
        "x_chunk_1F1\tothers\t0.5\t0.5\n"  # argmax of a tie
        "x_chunk_1F2\tvirus\t0.1\t0.9\n"
        "x_chunk_1R1\tothers\t0.75\t0.25\n"
        "x_chunk_1R2\tvirus\t1e-05\t0.33333334\n"
    )
    assert (out / "prediction_results_highestscore.csv").read_text() == (
        "Modified_ID\tIs_Virus\nx_chunk_1\tTrue\n"
    )


def test_the_consensus_is_sorted_as_text(tmp_path, out):
    names = ["b", "B", "a", "a.1", "a-1", "a|x", "a_", "a~", "10", "9", "a_chunk_1", "a1", "'q'"]
    files = make_sample(tmp_path / "w", dict.fromkeys(names, "ACG" * 1200))
    summarise_sample(files, CHUNK_BP, out)
    ids = [row["Modified_ID"] for row in rows(out / "prediction_results_highestscore.csv")]
    assert len(ids) == 12 * len(names) and ids == sorted(ids)  # as pandas' groupby
    assert ids.index("a_chunk_10") < ids.index("a_chunk_2")
    # the frames stay in the order of the input
    order = [row["Sequence_ID"][:-2] for row in rows(out / "prediction_results.txt")]
    assert list(dict.fromkeys(order)) == [f"{n}_chunk_{k}" for n in names for k in range(1, 13)]


def test_viral_fasta_holds_the_sequences_as_they_were(tmp_path, out):
    lengths = [3, 299, 300, 301, 302, 450, 599, 600, 601, 899, 1001, 2345, 44_701]
    records = {f"r{n}": "".join(random.Random(n).choices("ACGacg", k=n)) for n in lengths}
    files = make_sample(tmp_path / "w", records, p_virus=lambda frame_id: 0.9, shard_tokens=500)
    assert summarise_sample(files, CHUNK_BP, out)["viral"] == len(records)
    assert read_fasta(out / "viral.fasta") == records
    lines = (out / "viral.fasta").read_text().splitlines()
    assert max(len(line) for line in lines) == 60


def test_viral_fasta_holds_no_others(tmp_path, out):
    def is_viral(frame_id):
        return 0.9 if frame_id.startswith(("r301", "r3333")) else 0.2

    summarise_sample(make_sample(tmp_path / "w", RECORDS, p_virus=is_viral), CHUNK_BP, out)
    assert read_fasta(out / "viral.fasta") == {n: RECORDS[n] for n in ("r301", "r3333")}


def test_viral_chunks_are_written_from_one(tmp_path, out):
    def p_virus(frame_id):
        return 0.9 if frame_id.split("chunk_")[1][0] in "13" else 0.45

    files = make_sample(
        tmp_path / "w", {"x": "ACG" * 200 + "A", "y": "ACG"}, p_virus=p_virus, shard_tokens=0
    )
    summarise_sample(files, CHUNK_BP, out)
    row, short = rows(out / "contigs.tsv")
    assert row["viral_chunks"] == "1-300,401-601"  # [0, 300), [200, 500), [400, 601)
    assert short["viral_chunks"] == "1-3"
    # the deltas are 0.8, -0.1 and 0.8
    root = 0.8**0.5, 0.1**0.5
    delta = (2 * 0.8 * root[0] - 0.1 * root[1]) / (2 * root[0] + root[1])
    assert float(row["weighted_delta"]) == pytest.approx(delta, abs=1e-6)
    assert (row["call"], row["tier"], row["chunks_called"]) == ("viral", "low", "3")
    assert (row["confident_viral"], row["confident_nonviral"], row["ambiguous"]) == ("2", "0", "0")
    assert (row["viral_proportion"], row["nonviral_proportion"]) == ("0.6666667", "0.0")


def test_contigs_without_a_call_have_empty_cells(files, out):
    summarise_sample(files, CHUNK_BP, out)
    row = rows(out / "contigs.tsv")[0]
    assert (row["sequence_id"], row["length_bp"], row["call"]) == ("empty", "0", "none")
    assert len(row) == 16 and set(list(row.values())[3:]) == {""}


def test_every_chunk_has_a_row(files, out):
    summarise_sample(files, CHUNK_BP, out)
    found = {row["chunk_id"]: row for row in rows(out / "chunks.tsv")}
    assert len(found) == sum(int(row["chunks"]) for row in rows(out / "sequences.tsv"))
    calls = {row["Modified_ID"]: row["Is_Virus"] for row in
             rows(out / "prediction_results_highestscore.csv")}  # fmt: skip
    words = {"viral": "True", "non-viral": "False"}
    assert {n: words[r["call"]] for n, r in found.items() if r["call"] != "none"} == calls
    assert all((row["call"] == "none") == bool(row["reason"]) for row in found.values())
    reasons = {name: row["reason"] for name, row in found.items() if row["reason"]}
    assert reasons == {
        "short_chunk_1": "too_short", "letters_chunk_1": "no_codon",
        "stops_chunk_1": "no_open_frame", "last_without_chunk_2": "no_open_frame",
    }  # fmt: skip
    last = [found[f"r2345_chunk_{k}"] for k in range(1, 9)]
    assert [(row["start"], row["end"]) for row in last][:2] == [("1", "300"), ("294", "593")]
    assert last[-1]["end"] == "2345"
    assert list(last[0].values())[4:7] == ["", "", ""]  # no partial frame


def test_a_row_of_a_chunk_worked_out_by_hand(tmp_path, out):
    values = {"F1": (0.5, 0.5), "F2": (0.1, 0.9), "R1": (0.75, 0.25), "R2": (1e-5, 1 / 3)}
    files = make_sample(tmp_path / "w", {"x": "ATGC", "y": "AC"})
    ids = [f"x_chunk_1{frame}" for frame in values]
    write_scores(files.score_tables[0], ids, np.array(list(values.values()), np.float32))
    summarise_sample(files, CHUNK_BP, out)
    assert (out / "chunks.tsv").read_text() == (
        "chunk_id\tstart\tend\tframes\tpartial_frame\tpartial_start\tpartial_end\t"
        "score1\tscore2\tp_virus\tcall\treason\n"
        "x_chunk_1\t1\t4\toonoon\t\t\t\t0.75\t0.9\t\tviral\t\n"
        "y_chunk_1\t1\t2\tnnnnnn\t\t\t\t\t\t\tnone\ttoo_short\n"
    )


def test_partial_frames_add_rows_and_change_no_others(files, out, tmp_path):
    summarise_sample(files, CHUNK_BP, out)
    as_open = {path.name: path.read_text().splitlines() for path in out.iterdir()}
    other = make_sample(tmp_path / "other", RECORDS, min_residues=3)
    counts = summarise_sample(other, CHUNK_BP, out)
    assert (counts["chunks_partial"], counts.get("no_open_frame", 0)) == (2, 0)
    touched = ("last_without", "stops")
    for name, lines in as_open.items():
        found = (out / name).read_text().splitlines()
        if name != "viral.fasta":
            own = [line for line in found if not line.startswith(touched)]
            assert own == [line for line in lines if not line.startswith(touched)], name
    # in the tables of the original these chunks just get their rows
    frames = (out / "prediction_results.txt").read_text().splitlines()
    assert set(as_open["prediction_results.txt"]) < set(frames)
    added = [
        line.split("\t")[0] for line in frames if line not in as_open["prediction_results.txt"]
    ]
    assert {frame_id[:-2] for frame_id in added} == LAST and len(added) == 2
    consensus = (out / "prediction_results_highestscore.csv").read_text().splitlines()
    assert {line.split("\t")[0] for line in
            set(consensus) - set(as_open["prediction_results_highestscore.csv"])} == LAST  # fmt: skip


def test_contigs_tell_how_many_chunks_have_a_partial_frame_and_where(tmp_path, out):
    # 315 bp: [0, 300) and [157, 315); the first has an open frame
    records = {"x": "ACG" * 100 + STOPS, "y": STOPS}
    files = make_sample(tmp_path / "w", records, min_residues=3)
    summarise_sample(files, CHUNK_BP, out)
    x, y = rows(out / "contigs.tsv")
    # * L I N *: codons 2 to 4 of F1
    assert (y["chunks_called"], y["chunks_partial"], y["partial_frames"]) == ("1", "1", "F1:4-12")
    assert (x["chunks_called"], x["chunks_partial"]) == ("2", "1")
    chunk = rows(out / "chunks.tsv")[1]
    place = f"{chunk['partial_frame']}:{chunk['partial_start']}-{chunk['partial_end']}"
    assert (x["partial_frames"], chunk["chunk_id"]) == (place, "x_chunk_2")
    assert (chunk["start"], chunk["end"]) == ("158", "315")
    start, end = int(chunk["partial_start"]) - 1, int(chunk["partial_end"])
    proteins = "".join(path.read_text() for path in (tmp_path / "w").glob("*.faa"))
    protein = proteins.split(f">x_chunk_2{chunk['partial_frame']}\n")[1].split("\n")[0]
    bases = Seq(records["x"][start:end])
    strand = bases if chunk["partial_frame"][0] == "F" else bases.reverse_complement()
    assert str(strand.translate()) == protein and len(protein) > 45


def test_partial_frames_with_dropped_codons_are_counted(tmp_path, out):
    # F3 is . L V N *: two bases, then NTT AGT is no codon; see tests/unit/test_translation.py
    files = make_sample(tmp_path / "w", {"x": "AATNNTTAGTTAATTAA"}, min_residues=3)
    summarise_sample(files, CHUNK_BP, out)
    assert [row["frames_with_dropped_codons"] for row in rows(out / "sequences.tsv")] == ["1"]
    assert [row["partial_frames"] for row in rows(out / "contigs.tsv")] == ["F3:3-14"]
