"""virnucpro compare: tables of the original, the fork, its container and ours, row by row."""

import csv
from pathlib import Path

import h5py
import numpy as np
import pytest

from virnucpro.cli.main import main
from virnucpro.comparison import compare, matching
from virnucpro.comparison.differences import Spread
from virnucpro.comparison.tables import open_table

FRAME_HEADER = "Sequence_ID\tPrediction\tscore1\tscore2"
CHUNK_HEADER = "Modified_ID\tIs_Virus"
FORK_HEADER = f"{CHUNK_HEADER}\tmax_score_0\tmax_score_1"
CONTIG_HEADER = "sequence_id\tlength_bp\tcall\ttier\tweighted_delta\tchunks_called"
COMMAS = "Sequence_ID,Prediction,score1,score2\n"
# score2 of frames, as the original prints it and as the fork does
OURS = {"a_chunk_1F1": "0.9979233", "a_chunk_1R2": "0.25", "b_chunk_1F1": "0.4498659"}
FORK = {name: repr(float(np.float32(text))) for name, text in OURS.items()}


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def frames(path: Path, scores: dict[str, str], *, backwards: bool = False) -> Path:
    rows = []
    for name, virus in scores.items():
        label = "virus" if float(virus) > 0.5 else "others"
        rows.append(f"{name}\t{label}\t{np.float32(1) - np.float32(virus)}\t{virus}")
    return write(path, FRAME_HEADER, *(rows[::-1] if backwards else rows))


def status(*arguments: object) -> int:
    return main(["compare", *map(str, arguments)])


@pytest.mark.parametrize("backwards", [False, True])
def test_the_forks_text_and_order_do_not_count(tmp_path, capsys, backwards):
    a = frames(tmp_path / "a.txt", OURS)
    b = frames(tmp_path / "b.txt", FORK, backwards=backwards)
    assert status(a, b, "--tolerance", "0") == 0
    out = capsys.readouterr().out
    order = "other order, or repeated ids" if backwards else "same order"
    assert f"rows: 3 in A, 3 in B, 3 in both ({order})" in out
    assert "labels: 3 of 3 agree" in out
    assert "score differences: max 0, mean 0" in out
    assert out.endswith("equal within 0\n")


def test_ids_scores_and_flips_are_reported(tmp_path, capsys):
    a = frames(tmp_path / "a.txt", {"x1F1": "0.9", "x1F2": "0.506", "x1F3": "0.7", "y1F1": "0.1"})
    b = frames(tmp_path / "b.txt", {"z1F1": "0.9", "x1F1": "0.899", "x1F2": "0.495", "x1F3": "0.3"})
    csv_file = tmp_path / "rows.csv"
    assert status(a, b, "--export-csv", csv_file) == 1
    out = capsys.readouterr().out
    assert "rows: 4 in A, 4 in B, 3 in both" in out
    assert "only in A: 1 (y1F1)" in out and "only in B: 1 (z1F1)" in out
    assert "labels: 1 of 3 agree" in out
    assert "max 0.4 (x1F3)" in out and "within 1e-05: 0 of 3" in out
    assert "other labels: 2, 1 of them further than 0.01 from the tie" in out
    assert "x1F2: A virus 0.506, B other 0.495" in out
    assert out.endswith("different\n")
    with csv_file.open() as table:
        rows = {row["id"]: row for row in csv.DictReader(table)}
    assert {name: row["what"] for name, row in rows.items()} == {
        "x1F1": "score", "x1F2": "label", "x1F3": "label", "y1F1": "only_a", "z1F1": "only_b",
    }  # fmt: skip
    assert rows["x1F3"]["a_virus"] == "0.7" and rows["y1F1"]["b_label"] == ""


@pytest.mark.parametrize("tolerance, expected", [("1e-3", 1), ("2e-3", 0)])
def test_the_tolerance_decides(tmp_path, tolerance, expected):
    a = frames(tmp_path / "a.txt", {"x1F1": "0.9", "x1F2": "0.8"})
    b = frames(tmp_path / "b.txt", {"x1F1": "0.9015", "x1F2": "0.8"})
    assert status(a, b, "--tolerance", tolerance) == expected


def test_the_mismatch_limit_shortens_the_report_alone(tmp_path, capsys):
    a = frames(tmp_path / "a.txt", {f"x{n}F1": "0.9" for n in range(9)})
    b = frames(tmp_path / "b.txt", {f"x{n}F1": "0.1" for n in range(9)})
    assert status(a, b, "--mismatch-limit", "2", "--export-csv", tmp_path / "c") == 1
    out = capsys.readouterr().out
    assert out.count(": A virus 0.9") == 2 and "and 7 more (--export-csv has all)" in out
    assert len((tmp_path / "c").read_text().splitlines()) == 10


def test_repeated_ids_are_counted_and_paired_in_order(tmp_path, capsys):
    rows = [f"r{n}F1\tvirus\t0.1\t0.9" for n in (1, 2, 2, 3)]
    a, b = write(tmp_path / "a", FRAME_HEADER, *rows), write(tmp_path / "b", FRAME_HEADER, *rows)
    assert status(a, b) == 0  # repeated, but equally
    assert "ids that repeat in A: 1 (r2F1)" in capsys.readouterr().out
    write(tmp_path / "b", FRAME_HEADER, *rows[1:], rows[0], rows[0])
    assert status(a, b) == 1
    out = capsys.readouterr().out
    assert "ids that repeat in B: 2 (r1F1, r2F1)" in out and "only in B: 1 (r1F1)" in out


def test_a_nan_score_is_a_difference(tmp_path, capsys):
    a = write(tmp_path / "a", FRAME_HEADER, "xF1\tothers\tnan\tnan", "yF1\tothers\tnan\tnan")
    b = write(tmp_path / "b", FRAME_HEADER, "xF1\tothers\t0.9\t0.1", "yF1\tothers\tnan\tnan")
    assert status(a, b, "--export-csv", tmp_path / "rows.csv") == 1
    assert "NaN in one of them only: 1" in capsys.readouterr().out
    rows = (tmp_path / "rows.csv").read_text().splitlines()[1:]
    assert len(rows) == 1 and ",frame,xF1,score,other,other,,,0.9,0.1" in rows[0]
    assert status(a, a) == 0


def test_consensus_of_the_original_and_of_the_fork(tmp_path, capsys):
    a = write(
        tmp_path / "a", CHUNK_HEADER, "x_chunk_1\tTrue", "x_chunk_10\tFalse", "x_chunk_2\tTrue"
    )
    b = write(
        tmp_path / "b", FORK_HEADER,
        "x_chunk_1\tTrue\t0.1\t0.9", "x_chunk_2\tFalse\t0.505\t0.495", "x_chunk_10\tFalse\t0.9\t0.4",
    )  # fmt: skip
    assert status(a, b) == 1
    out = capsys.readouterr().out
    assert "scores: not compared, only B has them" in out
    assert "other labels: 1, 0 of them further than 0.01 from the tie" in out
    assert "x_chunk_2: A virus, B other 0.495" in out


@pytest.mark.parametrize("virus, clear", [("0.495", 0), ("0.3", 1)])
def test_flips_of_chunks_without_scores_are_looked_up_in_the_frames(tmp_path, capsys, virus, clear):
    for side, call, score in (("a", "True", "0.505"), ("b", "False", virus)):
        frames(tmp_path / side / "prediction_results.txt", {"x_chunk_1F1": score, "x_chunk_1R1": score})  # fmt: skip
        write(tmp_path / side / "prediction_results_highestscore.csv", CHUNK_HEADER, f"x_chunk_1\t{call}")  # fmt: skip
    assert status(tmp_path / "a", tmp_path / "b", "--per", "chunk") == 1
    out = capsys.readouterr().out
    assert f"other labels: 1, {clear} of them further than 0.01 from the tie" in out
    assert "frame:" not in out


def test_contigs_and_levels_that_one_side_has(tmp_path, capsys):
    rows = ["x\t900\tviral\tlow\t0.5\t2", "y\t90\tnone\t\t\t"]
    write(tmp_path / "a/contigs.tsv", CONTIG_HEADER, *rows)
    write(tmp_path / "b/contigs.tsv", CONTIG_HEADER, rows[0].replace("0.5", "0.6"), rows[1])
    frames(tmp_path / "b/prediction_results.txt", OURS)
    assert status(tmp_path / "a", tmp_path / "b") == 1
    out = capsys.readouterr().out
    assert "max 0.1 (x)" in out and "within 1e-05: 0 of 1" in out
    assert "frame: only B has such a table" in out
    assert status(tmp_path / "a", tmp_path / "a") == 0
    assert status(tmp_path / "a", tmp_path / "b", "--per", "frame") == 2
    assert "do not both have a table per frame" in capsys.readouterr().err


def test_folders_of_all_kinds(tmp_path, capsys):
    """Ours with two samples, the fork's, the original's beside its input, the container's."""
    for sample in ("lake", "sea"):
        frames(tmp_path / f"ours/{sample}/prediction_results.txt", OURS)
        frames(tmp_path / f"fork/{sample}_merged/prediction_results.txt", FORK, backwards=True)
        frames(tmp_path / f"original/{sample}_chunked500_merged/prediction_results.txt", OURS)
        frames(tmp_path / f"container/{sample}.tsv", FORK)
        write(
            tmp_path / f"container/{sample}_highestscore.csv", FORK_HEADER, "a_chunk_1\tTrue\t0\t1"
        )
    frames(tmp_path / "ours/work/x/prediction_results.txt", {"q1F1": "0.5"})  # not results
    for other in ("ours", "fork", "original", "container"):
        assert status(tmp_path / "ours", tmp_path / other) == 0
        out = capsys.readouterr().out
        assert "sample lake\n" in out and "sample sea\n" in out and "work" not in out
    assert status(tmp_path / "ours/sea", tmp_path / "fork") == 1  # fork has another sample, too
    assert "sample lake: only in B" in capsys.readouterr().out
    assert status(tmp_path / "ours/sea", tmp_path / "fork/lake_merged") == 0
    assert "sample sea (A), lake (B)" in capsys.readouterr().out


def test_empty_tables_are_equal_also_the_containers_with_commas(tmp_path):
    ours = tmp_path / "ours/s"
    write(ours / "prediction_results.txt", FRAME_HEADER)
    write(ours / "prediction_results_highestscore.csv", CHUNK_HEADER)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/out.tsv").write_text(f"{FRAME_HEADER}\n")
    (tmp_path / "theirs/out_highestscore.csv").write_text(COMMAS)
    assert status(tmp_path / "ours", tmp_path / "theirs") == 0
    assert open_table(tmp_path / "theirs/out_highestscore.csv").level == "chunk"


@pytest.mark.parametrize(
    "text, words",
    [
        (f"{FRAME_HEADER}\nx1F1\tvirus\t0.1\n", "line 2: is not a row of such a table (3 columns, the first line 4)"),
        (f"{FRAME_HEADER}\nx1F1\tvirus\t0.1\t0.9\nx1F2\tperhaps\t0.1\t0.9\n", "line 3: is not a row"),
        (f"{FRAME_HEADER}\nx1F1\tvirus\tmuch\t0.9\n", "line 2: is not a row"),
        (COMMAS + "x,virus,0,1\n", "is not a result table"),
        ("", "is not a result table"),
        ("sequence_id\tcall\n", "is not a result table"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_reported(tmp_path, capsys, text, words):
    (tmp_path / "bad").write_text(text)
    good = frames(tmp_path / "good", OURS)
    assert status(tmp_path / "bad", good) == 2
    assert words in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert status(good, tmp_path / "empty") == 2
    assert status(good, tmp_path / "gone") == 2
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    assert status(good, tmp_path / "bytes") == 2
    assert "is not UTF-8 text" in capsys.readouterr().err
    assert status(good, good, "--tolerance", "-1") == 2
    assert not list(tmp_path.glob("*.tmp"))


def test_an_export_that_ends_in_an_error_leaves_no_file(tmp_path):
    good = frames(tmp_path / "good", OURS)
    bad = write(tmp_path / "bad", FRAME_HEADER, "a_chunk_1F1\tvirus\t0.1\t0.9", "cut")
    assert status(good, bad, "--export-csv", tmp_path / "out.csv") == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad", "good"]


def test_a_failing_sort_is_reported(tmp_path, monkeypatch, capsys):
    a, b = frames(tmp_path / "a", OURS), frames(tmp_path / "b", OURS, backwards=True)
    monkeypatch.setattr(matching, "SORT_MEMORY", "nonsense")
    assert status(a, b) == 2
    assert "cannot be sorted" in capsys.readouterr().err


def test_blocks_do_not_change_the_counts(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(3)
    scores = {f"s{n}_chunk_1F1": str(np.float32(s)) for n, s in enumerate(rng.random(500))}
    near = {name: str(np.float32(s) + np.float32(1e-4)) for name, s in list(scores.items())[1:]}
    a = frames(tmp_path / "a", scores)
    b = frames(tmp_path / "b", near, backwards=True)
    status(a, b)
    whole = capsys.readouterr().out
    monkeypatch.setattr(compare, "BLOCK_PAIRS", 7)
    status(a, b)
    assert capsys.readouterr().out == whole
    assert "rows: 500 in A, 499 in B, 499 in both" in whole


def test_rows_that_lockstep_exported_are_not_exported_again(tmp_path, monkeypatch):
    monkeypatch.setattr(compare, "BLOCK_PAIRS", 2)
    a = frames(tmp_path / "a", {f"x{n}F1": "0.9" for n in (1, 2, 3, 4, 5)})
    b = frames(tmp_path / "b", {f"x{n}F1": "0.8" for n in (1, 2, 3, 5, 4)})
    assert status(a, b, "--export-csv", tmp_path / "rows.csv") == 1
    ids = [row.split(",")[2] for row in (tmp_path / "rows.csv").read_text().splitlines()]
    assert ids == ["id", "x1F1", "x2F1", "x3F1", "x4F1", "x5F1"]


def test_quantiles_are_at_most_one_percent_above():
    rng = np.random.default_rng(5)
    values = np.concatenate([np.zeros(400), 10 ** rng.uniform(-7, 0, 600)]).astype(np.float32)
    spread = Spread()
    for part in np.split(values, 4):
        spread.add(part, [""] * len(part), 1e-4)
    for share in (0.3, 0.5, 0.9, 0.99, 0.999, 1.0):
        true = np.quantile(values, share, method="inverted_cdf")
        assert true <= spread.quantile(share) <= 1.01 * true
    assert spread.max == values.max() and spread.within == (values <= 1e-4).sum()
    assert spread.total == pytest.approx(values.sum(), rel=1e-6)


def embeddings(folder: Path, shards: list[list[str]], vectors: dict[str, np.ndarray]) -> None:
    (folder / "embeddings").mkdir(parents=True, exist_ok=True)
    for number, ids in enumerate(shards):
        with h5py.File(folder / f"embeddings/s.{number:05}.esm2.h5", "w") as file:
            file["ids"] = np.array(ids, "S")
            file["embeddings"] = np.array([vectors[name] for name in ids], np.float32)


def test_embeddings_are_matched_by_id_across_shards(tmp_path, capsys):
    rng = np.random.default_rng(7)
    ids = [f"s{n}F1" for n in range(12)]
    vectors = {name: 5 + rng.normal(size=8) for name in ids}
    turned = {name: vector + 0.1 * rng.normal(size=8) for name, vector in vectors.items()}
    for side, shards, source in (
        ("a", [ids[:5], ids[5:]], vectors),
        ("b", [ids[6:0:-1], ids[7:]], turned),
    ):
        frames(tmp_path / side / "prediction_results.txt", OURS)
        embeddings(tmp_path / side, shards, source)
    assert status(tmp_path / "a", tmp_path / "b") == 0  # embeddings do not count
    out = capsys.readouterr().out
    assert "embeddings esm2: 11 in both, 1 only in A, 0 only in B" in out
    a, b = (np.array([source[name] for name in ids]).astype(np.float32).astype(float) for source in (vectors, turned))  # fmt: skip

    def cosines(x, y):
        return (x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)

    plain, centred = cosines(a, b)[1:], cosines(a - a.mean(0), b - a.mean(0))[1:]
    assert f"max difference {np.abs(a - b)[1:].max():.2g}" in out
    assert f"cosine min {plain.min():.9f} mean {plain.mean():.9f}" in out
    assert f"less the mean of A: min {centred.min():.9f} mean {centred.mean():.9f}" in out
    assert centred.min() < plain.min() < 1


def test_frames_without_a_vector_are_only_on_the_other_side(tmp_path, capsys):
    vectors = {name: np.arange(4.0) + n for n, name in enumerate(["xF1", "yF1", "zF1"])}
    for side in ("a", "b"):
        frames(tmp_path / side / "prediction_results.txt", OURS)
        embeddings(tmp_path / side, [list(vectors)], vectors)
    with h5py.File(tmp_path / "a/embeddings/s.00000.esm2.h5", "r+") as file:
        file["embeddings"][1] = np.nan
        file["no_vector"] = np.array([0, 1, 0], np.uint8)
    assert status(tmp_path / "a", tmp_path / "b") == 0
    out = capsys.readouterr().out
    assert "embeddings esm2: 2 in both, 0 only in A, 1 only in B" in out
    assert "max difference 0 " in out.replace(",", " ").replace(";", " ") and "nan" not in out


def test_embeddings_of_other_models_are_refused(tmp_path, capsys):
    for side, width in (("a", 4), ("b", 5)):
        frames(tmp_path / side / "prediction_results.txt", OURS)
        embeddings(tmp_path / side, [["x"]], {"x": np.ones(width)})
    assert status(tmp_path / "a", tmp_path / "b") == 2
    assert "have 4 and 5 elements" in capsys.readouterr().err
