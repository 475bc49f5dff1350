"""Atomic writes, digests."""

import hashlib

import pytest

from virnucpro import files
from virnucpro.files import atomic_write, file_sha256, write_text
from virnucpro.model_import import content_check


def test_a_file_gets_its_name_when_it_is_complete(tmp_path):
    path = tmp_path / "a.txt"
    with atomic_write(path) as temporary:
        temporary.write_text("new")
        assert not path.exists() and temporary.parent == tmp_path
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(OSError, match="disk full"), atomic_write(path) as temporary:
        temporary.write_text("half")
        raise OSError("disk full")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_an_error_before_anything_was_written_is_passed_on(tmp_path):
    with pytest.raises(OSError, match="disk full"), atomic_write(tmp_path / "a.txt"):
        raise OSError("disk full")
    assert not list(tmp_path.iterdir())


def test_digests_are_of_the_whole_file_and_large_files_have_no_blob_id(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"hello, world\n")
    monkeypatch.setattr(files, "BLOCK_BYTES", 5)
    sha256 = hashlib.sha256(b"hello, world\n").hexdigest()
    blob = "4b5fa63702dd96796042e92787f464e28f09f17d"  # git hash-object
    assert file_sha256(path) == sha256
    assert content_check.digests(path) == (sha256, blob, 13)
    monkeypatch.setattr(content_check, "MAX_GIT_BLOB_BYTES", 12)
    assert content_check.digests(path) == (sha256, "", 13)
