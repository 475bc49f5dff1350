import numpy as np
import pytest

from virnucpro.errors import InputError
from virnucpro.scoring.scores_file import ScoreRow, read_scores, write_scores


@pytest.mark.parametrize(
    "value, text",
    [
        (0.1, "0.1"), (1 / 3, "0.33333334"), (1.0, "1.0"), (0.0, "0.0"), (0.5, "0.5"),
        (0.0011595711, "0.0011595711"), (1e-5, "1e-05"), (1.234567e-10, "1.234567e-10"),
        (0.99999994, "0.99999994"), (1e-38, "1e-38"),
    ],
)  # fmt: skip
def test_scores_are_the_shortest_text_of_a_float32(tmp_path, value, text):
    path = tmp_path / "s.scores.tsv"
    write_scores(path, ["f"], np.array([[value, 0.25]], np.float32))
    assert path.read_text() == f"frame_id\tp_other\tp_virus\nf\t{text}\t0.25\n"


def test_what_is_written_is_read_and_keeps_its_value(tmp_path):
    path = tmp_path / "s.scores.tsv"
    scores = np.random.default_rng(0).random((500, 2)).astype(np.float32) ** 9
    ids = [f'c"{n}|é_chunk_{n}R3' for n in range(500)]
    write_scores(path, ids, scores)
    rows = list(read_scores(path))
    assert [row.frame_id for row in rows] == ids
    texts = np.array([(row.other_text, row.virus_text) for row in rows])
    assert texts.astype(np.float32).tobytes() == scores.tobytes()
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_no_frames_give_the_header(tmp_path):
    path = tmp_path / "s.scores.tsv"
    write_scores(path, [], np.empty((0, 2), np.float32))
    assert path.read_text() == "frame_id\tp_other\tp_virus\n" and list(read_scores(path)) == []


def test_a_frame_without_a_score_has_its_reason(tmp_path):
    path = tmp_path / "s.scores.tsv"
    scores = np.array([[0.5, 0.5], [np.nan, np.nan]], np.float32)
    write_scores(path, ["a", "b"], scores, ["", "not_finite"])
    assert path.read_text().splitlines()[1:] == ["a\t0.5\t0.5", "b\tnone\tnot_finite"]
    assert list(read_scores(path)) == [
        ScoreRow("a", "0.5", "0.5"), ScoreRow("b", "", "", "not_finite")
    ]  # fmt: skip


@pytest.mark.parametrize(
    "cells", ["nan\tnan", "none\tnone", "none\t", "0.5\tnot_finite", "none\t0.5"]
)
def test_what_is_neither_a_score_nor_a_reason_is_refused(tmp_path, cells):
    path = tmp_path / "s.scores.tsv"
    path.write_text(f"frame_id\tp_other\tp_virus\na\t{cells}\n")
    with pytest.raises(InputError, match="frame a: .* are not two probabilities"):
        list(read_scores(path))


def test_ids_and_scores_of_different_number_write_nothing(tmp_path):
    path = tmp_path / "s.scores.tsv"
    with pytest.raises(ValueError, match="shorter|longer"):
        write_scores(path, ["a", "b"], np.zeros((3, 2), np.float32))
    assert not path.exists()


HEADER_FAULT = r"its first line is not 'frame_id\\tp_other\\tp_virus'"


@pytest.mark.parametrize(
    "content, words",
    [
        ("", HEADER_FAULT),
        ("frame_id\tp_virus\tp_other\na\t0.1\t0.9\n", HEADER_FAULT),
        ("frame_id\tp_other\tp_virus", HEADER_FAULT),
        ("frame_id\tp_other\tp_virus\na\t0.1\t0.9\nb\t0.1\t0.", "line 3: is cut short"),
        ("frame_id\tp_other\tp_virus\na\t0.1\t0.9\nb\t0.1\n", "line 3: is cut short"),
        ("frame_id\tp_other\tp_virus\na\t0.1\t0.9\t7\n", "line 2: is cut short"),
    ],
)
def test_tables_that_are_cut_or_of_another_kind_are_refused(tmp_path, content, words):
    path = tmp_path / "s.scores.tsv"
    path.write_text(content)
    with pytest.raises(InputError, match=f"^s.scores.tsv.*{words}.*Run its task again"):
        list(read_scores(path))


def test_a_row_has_names(tmp_path):
    path = tmp_path / "s.scores.tsv"
    path.write_text("frame_id\tp_other\tp_virus\na\t0.1\t0.9\n")
    assert list(read_scores(path)) == [ScoreRow(frame_id="a", other_text="0.1", virus_text="0.9")]
