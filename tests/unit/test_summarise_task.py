"""Result tables of samples that are split and translated here and get scores made up here."""

import hashlib
import json
import math
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from Bio.Seq import Seq

from virnucpro.calls.sample_files import SampleFiles
from virnucpro.calls.summarise_task import REASONS, summarise_sample
from virnucpro.consensus.calibration_file import to_json
from virnucpro.consensus.calibrator import Bin, Calibration, Calibrator, Rates, Temperature
from virnucpro.errors import InputError
from virnucpro.model_sets.calibration_entries import load_entry, made_for
from virnucpro.model_sets.description import read_model_set
from virnucpro.scoring.scores_file import write_scores
from virnucpro.sequences.frames_file import read_frames
from virnucpro.sequences.reader import InputFile
from virnucpro.sequences.split_task import split_sample
from virnucpro.sequences.translate_task import translate_shard
from virnucpro.training.set_folder import write_calibration

RESULTS = {
    "prediction_results.txt", "prediction_results_highestscore.csv", "sequences.tsv",
    "contigs.tsv", "chunks.tsv", "regions.bed", "regions.gff3", "viral.fasta",
}  # fmt: skip
CHUNK_BP = 300
STOPS = "TAATTAATTAATTAA"  # one in each of the six frames
RECORDS = {
    "empty": "",
    "short": "AC",
    "letters": "NNNNNNNN",
    "stops": STOPS * 10,
    **{
        f"r{length}": "".join(random.Random(length).choices("ACGacg", k=length))
        for length in (3, 299, 300, 301, 450, 601, 900, 2345, 3333)
    },
    "last_without": "ACG" * 100 + STOPS * 20,
}


def random_score(frame_id: str) -> float:
    return random.Random(frame_id).random()


def make_sample(
    folder: Path,
    records: dict[str, str],
    *,
    shard_tokens=150,
    p_virus=random_score,
    min_residues: int | None = None,
) -> SampleFiles:
    """Run SPLIT and TRANSLATE in `folder`, and give each frame the score p_virus(id)."""
    folder.mkdir()
    (folder / "in.fa").write_text("".join(f">{name}\n{s}\n" for name, s in records.items()))
    split_sample("s", [InputFile(folder / "in.fa")], CHUNK_BP, shard_tokens, folder)
    chunk_files = sorted(folder.glob("s.*.chunks.fna"))
    tables, scores = [], []
    for chunks in chunk_files:
        shard = chunks.name.removesuffix(".chunks.fna")
        faa = folder / f"{shard}.frames.faa"
        tables.append(folder / f"{shard}.chunks.tsv")
        fna = folder / f"{shard}.frames.fna"
        translate_shard(chunks, fna, faa, tables[-1], min_residues)
        ids, _ = read_frames(faa)
        if ids:
            values = [(1 - p_virus(frame_id), p_virus(frame_id)) for frame_id in ids]
            scores.append(folder / f"{shard}.scores.tsv")
            write_scores(scores[-1], ids, np.array(values, np.float32))
    return SampleFiles(
        "s", folder / "s.records.tsv", folder / "s.shards.tsv", chunk_files, tables, scores
    )


@pytest.fixture
def files(tmp_path):
    return make_sample(tmp_path / "work", RECORDS)


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "s"
    folder.mkdir()
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    header, *lines = (line.split("\t") for line in path.read_text().splitlines())
    return [dict(zip(header, line, strict=True)) for line in lines]


def read_fasta(path: Path) -> dict[str, str]:
    parts = [record.split("\n") for record in path.read_text().split(">")[1:]]
    return {lines[0]: "".join(lines[1:]) for lines in parts}


def visible(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


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
        assert counts[reason] == sum(row["reason"] == reason for row in sequences) == 1
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
    names = ["b", "B", "a", "a.1", "a-1", "a|x", "a_", "a~", "10", "9", "a_chunk_1", "a1", '"q"']
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


LAST = {"last_without_chunk_2", "stops_chunk_1"}  # chunks that get a partial frame


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


RATES = Rates((-1.0, 0.5), (1.0, 0.5), (1.0, 0.1))
CALIBRATION = Calibration((Bin(1, Temperature(2.0, 0.0), RATES),))
OF_THE_ORIGINAL = ("prediction_results.txt", "prediction_results_highestscore.csv")


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


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


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


def edit(path: Path, change) -> None:
    lines = path.read_text().splitlines(keepends=True)
    change(lines)
    path.write_text("".join(lines))


def _lose_scores(files):
    return replace(files, score_tables=files.score_tables[1:])


def _lose_chunk_table(files):
    return replace(files, chunk_tables=files.chunk_tables[:-1])


def _lose_chunk_file(files):
    return replace(files, chunk_files=files.chunk_files[1:])


def _extra_shard(files):
    path = files.records.with_name("s.00099.chunks.fna")
    path.write_text(">x_chunk_1\nACG\n")
    return replace(files, chunk_files=[*files.chunk_files, path])


def _extra_scores(files):
    path = files.records.with_name("t.00001.scores.tsv")
    path.write_bytes(files.score_tables[0].read_bytes())
    return replace(files, score_tables=[*files.score_tables, path])


def _shard_twice(files):
    return replace(files, chunk_tables=[*files.chunk_tables, files.chunk_tables[0]])


def _swap_score_rows(files):
    edit(files.score_tables[1], lambda lines: lines.insert(1, lines.pop(2)))


def _lose_score_row(files):
    edit(files.score_tables[1], lambda lines: lines.pop(1))


def _lose_last_score_row(files):
    edit(files.score_tables[-1], lambda lines: lines.pop())


def _extra_score_row(files):
    edit(files.score_tables[-1], lambda lines: lines.append("x_chunk_1F1\t0.5\t0.5\n"))


def _repeat_score_row(files):
    edit(files.score_tables[1], lambda lines: lines.insert(1, lines[1]))


def _cut_scores(files):
    path = files.score_tables[1]
    path.write_bytes(path.read_bytes()[:-3])


def _scores_without_header(files):
    edit(files.score_tables[1], lambda lines: lines.pop(0))


def _swap_scores(files):
    first, second = files.score_tables[:2]
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)


def _lose_table_row(files):
    edit(files.chunk_tables[2], lambda lines: lines.pop())


def _repeat_table_row(files):
    edit(files.chunk_tables[2], lambda lines: lines.append(lines[-1]))


def _cut_table(files):
    path = files.chunk_tables[2]
    path.write_bytes(path.read_bytes()[:-3])


def _cut_table_between_cells(files):
    edit(files.chunk_tables[2], lambda lines: lines.append(lines.pop().rsplit("\t", 1)[0] + "\n"))


def _states_cut(files):
    edit(files.chunk_tables[2], lambda lines: lines.append(lines.pop()[:-5] + "\t\t\n"))


def _span_of_an_open_frame(files):
    edit(files.chunk_tables[2], lambda lines: lines.append(lines.pop()[:-3] + "\t4\t7\n"))


def _cut_chunk_file(files):
    path = files.chunk_files[2]
    path.write_bytes(path.read_bytes()[:-5])


def _lose_chunk(files):
    path = files.chunk_files[5]
    path.write_text(path.read_text().rpartition(">")[0])
    edit(files.chunk_tables[5], lambda lines: lines.pop())


def _other_chunk(files):
    path = files.chunk_files[2]
    path.write_text(path.read_text().replace("_chunk_", "_chunk_7"))


def _lose_record(files):
    edit(files.records, lambda lines: lines.pop())


def _repeat_record(files):
    edit(files.records, lambda lines: lines.append(lines[-1].replace("last", "more")))


def _swap_records(files):
    edit(files.records, lambda lines: lines.append(lines.pop(-2)))


def _cut_records(files):
    files.records.write_bytes(files.records.read_bytes()[:-3])


def _cut_shards(files):
    edit(files.shards, lambda lines: lines.pop())


def _longer_shards(files):
    edit(files.shards, lambda lines: lines.append("s.00098\t1\t300\n"))


def _shard_with_more_chunks(files):
    edit(files.shards, lambda lines: lines.append(lines.pop().replace("\t1\t", "\t2\t")))


def _records_of_another_program(files):
    edit(files.records, lambda lines: lines.__setitem__(0, "id\tname\n"))


def _other_length(files):
    edit(files.records, lambda lines: lines.append(lines.pop().replace("\t600\t", "\t590\t")))


@pytest.mark.parametrize(
    "damage, words",
    [
        (_lose_scores, ["sample s: the scores of shard s.00001 are missing", "it has frames to score",
                        "No table is written"]),
        (_lose_chunk_table, [".chunks.tsv files came", "Missing: s.000", "not expected: none"]),
        (_lose_chunk_file, [".chunks.fna files came", "Missing: s.00001", "resume the run"]),
        (_extra_shard, ["Missing: none", "not expected: s.00099"]),
        (_extra_scores, [".scores.tsv files came", "not expected: t.00001"]),
        (_shard_twice, [".chunks.tsv files came"]),
        (_swap_score_rows, ["frames are", "scores are of"]),
        (_lose_score_row, ["frames are", "scores are of"]),
        (_lose_last_score_row, ["last_without_chunk_1", "scores are of"]),
        (_extra_score_row, ["score of x_chunk_1F1, which is not a frame of it"]),
        (_repeat_score_row, ["frames are", "scores are of"]),
        (_cut_scores, [".scores.tsv, line", "is cut short"]),
        (_scores_without_header, [".scores.tsv: its first line is not"]),
        (_swap_scores, ["frames are", "scores are of"]),
        (_lose_table_row, ["where its table has none"]),
        (_repeat_table_row, ["chunk none where its table has"]),
        (_cut_table, ["s.00003.chunks.tsv, line", "is cut short"]),
        (_cut_table_between_cells, ["s.00003.chunks.tsv, line", "is cut short"]),
        (_states_cut, ["its table has", "frames"]),
        (_span_of_an_open_frame, ["and a partial one at '4-7'", "Run the shard again"]),
        (_cut_chunk_file, ["bp, but its table has"]),
        (_lose_chunk, ["chunks, SPLIT wrote"]),
        (_other_chunk, ["where its table has"]),
        (_lose_record, ["is of no sequence in s.records.tsv"]),
        (_repeat_record, ["more_without with 2 chunks, the shards have none left"]),
        (_swap_records, ["last_without with 2 chunks, the shards have r3333_chunk_1"]),
        (_cut_records, ["s.records.tsv, line", "is cut short"]),
        (_cut_shards, [".chunks.fna files came", "not expected: s.0"]),
        (_longer_shards, ["Missing: s.00098"]),
        (_shard_with_more_chunks, ["1 chunks, SPLIT wrote 2"]),
        (_records_of_another_program, ["s.records.tsv: its first line is not"]),
        (_other_length, ["last_without, 590 bp, was not cut into chunks of 300 bp"]),
    ],
)  # fmt: skip
def test_files_that_do_not_fit_end_in_an_error_and_no_table(files, out, damage, words):
    changed = damage(files) or files
    with pytest.raises(InputError) as error:
        summarise_sample(changed, CHUNK_BP, out)
    text = str(error.value)
    assert all(word in text for word in words), text
    assert visible(out) == set()


def test_another_chunk_length_than_splits_is_refused(files, out):
    with pytest.raises(InputError, match="was not cut into chunks of 290 bp. Give --chunk-length"):
        summarise_sample(files, 290, out)
    assert visible(out) == set()


def test_an_earlier_result_is_replaced(files, out):
    (out / "viral.fasta").write_text(">old\nA\n")
    summarise_sample(files, CHUNK_BP, out)
    assert "old" not in read_fasta(out / "viral.fasta")


@pytest.fixture
def arguments(files):
    def make(**changes):
        lists = {"chunks": files.chunk_files, "chunk-tables": files.chunk_tables,
                 "scores": files.score_tables, **changes}  # fmt: skip
        argv = ["--sample", "s", "--chunk-length", str(CHUNK_BP)]
        argv += ["--records", str(files.records), "--shards", str(files.shards)]
        for option, paths in lists.items():
            argv += [f"--{option}", *map(str, paths)]
        return argv

    return make


def test_the_executable_writes_the_folder_and_a_row(
    files, arguments, executables, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert executables["summarise"](arguments()) == 0
    assert visible(tmp_path / "s") == RESULTS
    (row,) = rows(tmp_path / "s.summary.tsv")
    assert list(row) == [
        "sample", "sequences", "viral", "non-viral", "empty", "too_short", "no_codon",
        "no_open_frame", "chunks", "chunks_viral", "chunks_nonviral", "chunks_partial", "frames",
    ]  # fmt: skip
    assert row.pop("sample") == "s"
    numbers = {column: int(text) for column, text in row.items()}
    called = numbers["viral"] + numbers["non-viral"]
    assert called + sum(numbers[reason] for reason in REASONS) == numbers["sequences"] == 14
    assert numbers["chunks_viral"] + numbers["chunks_nonviral"] < numbers["chunks"]


def test_the_executable_notes_the_models(arguments, executables, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    made_by = {"model_set": "a 'b' \"c\"", "model_set_digest": "0" * 64}
    assert executables["summarise"]([*arguments(), "--made-by", json.dumps(made_by)]) == 0
    assert visible(tmp_path / "s") == RESULTS | {"provenance.json"}
    note = json.loads((tmp_path / "s" / "provenance.json").read_text())
    assert note == {**made_by, "sample": "s", "chunk_bp": CHUNK_BP}
    for text, words in (("{", "is no JSON"), ("[]", "must be a JSON object")):
        assert executables["summarise"]([*arguments(), "--made-by", text]) == 2
        assert words in capsys.readouterr().err


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
