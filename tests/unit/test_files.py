"""Files that are there whole or not at all."""

import pytest

from virnucpro.files import write_text, written_whole


def test_a_file_gets_its_name_when_it_is_complete(tmp_path):
    path = tmp_path / "a.txt"
    with written_whole(path) as temporary:
        temporary.write_text("new")
        assert not path.exists() and temporary.parent == tmp_path
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(OSError, match="disk full"), written_whole(path) as temporary:
        temporary.write_text("half")
        raise OSError("disk full")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_an_error_before_anything_was_written_is_told_as_it_is(tmp_path):
    with pytest.raises(OSError, match="disk full"), written_whole(tmp_path / "a.txt"):
        raise OSError("disk full")
    assert not list(tmp_path.iterdir())
