import pytest

from virnucpro.errors import InputError
from virnucpro.sequences.frames_file import read_frames


def test_ids_and_sequences_come_in_file_order(tmp_path):
    path = tmp_path / "s.frames.faa"
    path.write_text(">b_chunk_10F1\nMK\nVL\n>a_chunk_2R3\nW\n>a|'x\"_chunk_2R1\nAC\n")
    ids = ["b_chunk_10F1", "a_chunk_2R3", "a|'x\"_chunk_2R1"]
    assert read_frames(path) == (ids, ["MKVL", "W", "AC"])


def test_an_empty_file_has_no_frames(tmp_path):
    path = tmp_path / "s.frames.faa"
    path.write_text("")
    assert read_frames(path) == ([], [])


def test_what_translate_writes_is_read(tmp_path, split_and_translate):
    contig = tmp_path / "c.fa"
    contig.write_text(">c\n" + "ATGAAACGTGCA" * 100 + "\n")
    out = split_and_translate(contig)
    dna, protein = (read_frames(out / f"s.00001.frames.{kind}") for kind in ("fna", "faa"))
    assert dna[0] == protein[0] and dna[0][0] == "c_chunk_1F1"
    assert protein[1][0] == "MKRA" * 41 + "MK" and dna[1][0] == ("ATGAAACGTGCA" * 42)[:499]


@pytest.mark.parametrize(
    "content, words",
    [
        (b">a\nMK\n>b\n>c\nM\n", "frame b: has no sequence. The file is cut short"),
        (b">a\nMK\n>b", "frame b: has no sequence"),
        (b">a\nMK\n>b\nM\n>a\nMK\n", "frame a: occurs twice"),
        (b">a\0b\nMK\n", "frame a\\x00b: has a control character in its id"),
        (b">a\x0bb\nMK\n>a\x0bc\nMK\n", "frame a\\x0bb: has a control character in its id"),
        (b">" + b"a" * 10_000 + b"\n>b\nM\n", "frame " + "a" * 79 + "…: has no sequence"),
        (b"MK\n", "not a readable FASTA file"),
        (b">a\n\xff\xfe\n", "not a readable FASTA file"),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path, content, words):
    path = tmp_path / "s.frames.faa"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        read_frames(path)
    assert str(error.value).startswith(str(path)) and words in str(error.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="not a readable FASTA file .*No such file"):
        read_frames(tmp_path / "none.faa")
