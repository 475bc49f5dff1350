"""Ids that no reader takes for something else, and names in cells that can be read back."""

import pytest

from virnucpro.errors import excerpt
from virnucpro.sequences.names import (
    MAX_LETTERS,
    decode_cell,
    encode_cell,
    name_fault,
    safe_id,
)


@pytest.mark.parametrize(
    "name",
    [
        "a", "NC_001802.1", "gi|674|ref|NC_1.1|", "A/Finland/97/2009(H3N2),x", "NC_1#3k#12001",
        "it's", "a%b", "a%22b", "50%", "NA", "nan", "NULL", "1e5", "007", "TRUE", "'", "*", "_=1",
        "soundtrack", "a=1", "a@b", "a-b+c", "chr1", "chromosome", "x>y", "$HOME",
        "`x`;\\n", "x" * MAX_LETTERS,
    ],
)  # fmt: skip
def test_a_harmless_name_is_the_id(name):
    assert safe_id(name) == name and name_fault(name) == ""


@pytest.mark.parametrize(
    "name, expected",
    [
        ("=1+1", "_=1+1"), ("+a", "_+a"), ("-n", "_-n"), ("@SUM(A1)", "_@SUM(A1)"), ("-", "_-"),
        ("#", "_#"), ("#comment", "_#comment"), (">a", "_>a"), ("!a", "_!a"),
        ("track", "_track"), ("track_7", "_track_7"), ("browser.1", "_browser.1"),
        ("visibility", "_visibility"), ("chr", "_chr"), ("chrom", "_chrom"),
        ('"', "_"), ('"a', "_a"), ('a"b"', "a_b_"), ('="x"', "_=_x_"), ('"=1', "_=1"),
        ("\u00e91", "_1"), ("Z\u00fcrich", "Z_rich"), ("caf\udce9", "caf_"), ("a\u2028b", "a_b"),
        ("a\u00a0b", "a_b"), ("Z\udcc3\udcbcrich", "Z_rich"), ("\ufeffa", "_a"), ("a b", "a_b"),
    ],
)  # fmt: skip
def test_what_a_reader_takes_for_something_else_is_replaced(name, expected):
    assert safe_id(name) == expected == safe_id(expected)
    assert name_fault(name) == ""


@pytest.mark.parametrize("letter", [*map(chr, range(32)), *map(chr, range(127, 160))])
def test_a_control_character_is_refused_and_named_by_its_escape(letter):
    fault = name_fault(f"a{letter}b")
    assert f"has the control character {ascii(letter)}. " in fault and fault.isprintable()


def test_a_control_character_is_seen_in_bytes_too():
    assert "control character '\\x85'" in name_fault("a\udcc2\udc85b")
    assert name_fault("a\udc85b") == ""  # three dots in Windows-1252, not UTF-8


def test_a_long_name_is_refused_in_a_short_message():
    fault = name_fault("ACGT" * 2500)
    assert "has 10000 letters, more than 1000. Shorten it" in fault and len(fault) < 250


@pytest.mark.parametrize(
    "name, cell",
    [
        ("", ""), ("a", "a"), ("it's\\n_50%_$HOME`x`;*", "it's\\n_50%_$HOME`x`;*"),
        ("a%22b", "a%2522b"), ('a"b', "a%22b"), ('%"1', "%%221"), ("%%22", "%%2522"),
        ("=1", "%3D1"), ("-n", "%2Dn"), ("+", "%2B"), ("@x", "%40x"), ("a=b", "a=b"),
        ("#a", "#a"), ("Z\u00fcrich", "Z%C3%BCrich"), ("caf\udce9", "caf%E9"),
        ("a\tb\nc", "a%09b%0Ac"), ("a b", "a b"), ("\u2028", "%E2%80%A8"),
    ],
)  # fmt: skip
def test_a_cell_is_plain_ascii_and_is_read_back(name, cell):
    assert encode_cell(name) == cell
    assert decode_cell(cell) == name


def test_an_excerpt_is_short_and_printable():
    assert excerpt("a" * 80) == "a" * 80
    assert excerpt("a" * 81) == "a" * 79 + "…"
    assert excerpt("x" * 300, 200) == "x" * 199 + "…"
    assert excerpt("\x1b[2J\n\u2028\udce9é") == "\\x1b[2J\\n\\u2028\\udce9é"
