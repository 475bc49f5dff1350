from virnucpro.sequences.sample_warnings import (
    MAX_LINES,
    SampleWarnings,
    read_warnings,
    write_warnings,
)


def test_further_warnings_of_a_kind_are_counted():
    warnings = SampleWarnings()
    for number in range(MAX_LINES + 3):
        warnings.add("odd ids", f"odd id {number}")
        warnings.add("odd letters", f"odd letter {number}") if number < MAX_LINES else None
    warnings.append("another")
    lines = [f"odd {kind} {n}" for n in range(MAX_LINES) for kind in ("id", "letter")]
    assert warnings == [*lines, "odd ids: 3 more, not listed", "another"]


def test_a_warning_stays_on_its_line(tmp_path):
    lines = ["a\nb\tc\x1b[31m\u2028d\x85 \udcff", "caf\u00e9 100 % {} $HOME"]
    write_warnings(tmp_path / "w", lines)
    assert read_warnings(tmp_path / "w") == [
        "a\\nb\\tc\\x1b[31m\\u2028d\\x85 \\udcff", "caf\u00e9 100 % {} $HOME",
    ]  # fmt: skip


def test_no_warning_is_an_empty_file(tmp_path):
    write_warnings(tmp_path / "w", [])
    assert (tmp_path / "w").read_bytes() == b"" and read_warnings(tmp_path / "w") == []
