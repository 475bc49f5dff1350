import itertools
import logging
import random
import tracemalloc

import pytest

from virnucpro.errors import InputError
from virnucpro.sequences.length_range import ALL_LENGTHS, LengthRange
from virnucpro.sequences.reader import InputFile
from virnucpro.sequences.split_files import (
    LINE_LENGTH,
    RECORDS_HEADER,
    read_chunks,
    read_split_records,
)
from virnucpro.sequences.split_task import TOKENS_PER_BP, repeated_ids, split_sample


@pytest.fixture
def split(tmp_path):
    """Split FASTA texts, one a file; return (counts, folder)."""
    runs = itertools.count()

    def run(
        *texts, chunk_bp=500, shard_tokens=0, mates=None, interleaved=False, lengths=ALL_LENGTHS
    ):
        out = tmp_path / f"run{next(runs)}"
        out.mkdir()
        sources = []
        for n, text in enumerate(texts):
            path = tmp_path / f"in{n}.fa"
            path.write_bytes(text.encode("utf-8", "surrogateescape"))
            mate = (mates or [""] * len(texts))[n]
            sources.append(InputFile(path, mate, interleaved=interleaved))
        return split_sample("s", sources, chunk_bp, shard_tokens, out, lengths), out

    return run


def chunk_text(out) -> str:
    return "".join(path.read_text() for path in sorted(out.glob("s.*.chunks.fna")))


def rows(path) -> list[list[str]]:
    return [line.split("\t") for line in path.read_text().splitlines()[1:]]


def random_fasta(seed: int, lengths) -> str:
    rng = random.Random(seed)
    return "".join(
        f">r{n}\n{''.join(rng.choices('ACGTacgtN', k=length))}\n"
        for n, length in enumerate(lengths)
    )


def test_chunks_of_records_of_all_lengths(split, original):
    rng = random.Random(4)
    lengths = [0, 1, 2, 299, 300, 301, 601, 2345, *(rng.randrange(5000) for _ in range(40))]
    text = random_fasta(5, lengths)
    counts, out = split(text, chunk_bp=300)
    expected, table = "", []
    for record in text.split(">")[1:]:
        name, sequence = record.split("\n")[:2]
        coordinates = original.chunk_coordinates(len(sequence), 300)
        table.append([name, name, "in0.fa", str(len(sequence)), str(len(coordinates)), ""])
        for number, (start, end) in enumerate(coordinates, start=1):
            lines = [sequence[i : min(i + 60, end)] for i in range(start, end, 60)]
            expected += "\n".join([f">{name}_chunk_{number}", *lines, ""])
    assert chunk_text(out) == expected  # case kept, wrapped at 60 columns
    assert rows(out / "s.records.tsv") == table
    assert (counts.records, counts.chunks) == (len(lengths), sum(int(row[4]) for row in table))
    assert rows(out / "s.shards.tsv") == [
        ["s.00001", str(counts.chunks), str(sum(len(line) for line in expected.split("\n")
                                                if line[:1] != ">"))]
    ]  # fmt: skip


def test_headers_of_the_tables(split):
    _, out = split(">a\nAC\n")
    assert (out / "s.records.tsv").read_text() == (
        "sequence_id\tname\tfile\tlength_bp\tchunks\treason\na\ta\tin0.fa\t2\t1\t\n"
    )
    assert (out / "s.shards.tsv").read_text() == "shard\tchunks\tlength_bp\ns.00001\t1\t2\n"


@pytest.mark.parametrize("shard_tokens", [1, 100, 150, 151, 999, 5000, 10**9])
def test_shards_cut_between_chunks_and_join_to_the_same_text(split, shard_tokens):
    text = random_fasta(6, [0, 700, 20, 3000, 500, 0, 1234])
    _, whole = split(text)
    counts, out = split(text, shard_tokens=shard_tokens)
    assert chunk_text(out) == chunk_text(whole)
    assert (out / "s.records.tsv").read_bytes() == (whole / "s.records.tsv").read_bytes()
    aim_bp = shard_tokens / TOKENS_PER_BP
    table = rows(out / "s.shards.tsv")
    assert [row[0] for row in table] == [f"s.{n:05d}" for n in range(1, len(table) + 1)]
    assert sum(int(row[1]) for row in table) == counts.chunks
    for n, (shard, num_chunks, length_bp) in enumerate(table):
        content = (out / f"{shard}.chunks.fna").read_text()
        records = ["".join(r.split("\n")[1:]) for r in content.split(">")[1:]]
        assert content[0] == ">" and content[-1] == "\n"
        assert len(records) == int(num_chunks) > 0
        assert sum(map(len, records)) == int(length_bp)
        assert sum(map(len, records[:-1])) < aim_bp  # it ends with the chunk that fills it
        assert n == len(table) - 1 or int(length_bp) >= aim_bp


def test_shard_tokens_change_the_number_of_shards(split):
    text = random_fasta(7, [5000])
    numbers = [len(rows(split(text, shard_tokens=t)[1] / "s.shards.tsv")) for t in (1, 300, 10**6)]
    assert numbers == [10, 5, 1]


def test_chunk_length_changes_the_chunks(split):
    assert [split(random_fasta(8, [3000]), chunk_bp=c)[0].chunks for c in (300, 500)] == [10, 6]


def test_no_records_give_header_only_tables_and_no_shard(split):
    counts, out = split("")
    assert (counts.records, counts.chunks) == (0, 0)
    assert sorted(path.name for path in out.iterdir()) == [
        "s.records.tsv", "s.shards.tsv", "s.warnings.txt",
    ]  # fmt: skip
    assert rows(out / "s.records.tsv") == rows(out / "s.shards.tsv") == []


def test_empty_records_get_a_row_and_no_chunk(split):
    counts, out = split(">a\n>b\nAC\n>c\n")
    assert (counts.records, counts.chunks) == (3, 1)
    assert [(row[0], row[3], row[4]) for row in rows(out / "s.records.tsv")] == [
        ("a", "0", "0"), ("b", "2", "1"), ("c", "0", "0"),
    ]  # fmt: skip
    assert chunk_text(out) == ">b_chunk_1\nAC\n"


def ids_and_names(out) -> list[tuple[str, str, str]]:
    return [(row[0], row[1], row[2]) for row in rows(out / "s.records.tsv")]


def test_repeated_names_are_numbered_also_across_files(split, caplog):
    with caplog.at_level(logging.WARNING):
        counts, out = split(">a\nAA\n>b\nCC\n>a\nGG\n", ">b\nTT\n>a\nAC\n>c\nAG\n", shard_tokens=1)
    assert ids_and_names(out) == [
        ("a", "a", "in0.fa"), ("b", "b", "in0.fa"), ("a_dup2", "a", "in0.fa"),
        ("b_dup2", "b", "in1.fa"), ("a_dup3", "a", "in1.fa"), ("c", "c", "in1.fa"),
    ]  # fmt: skip
    assert chunk_text(out) == "".join(
        f">{name}_chunk_1\n{sequence}\n"
        for name, sequence in [("a", "AA"), ("b", "CC"), ("a_dup2", "GG"),
                               ("b_dup2", "TT"), ("a_dup3", "AC"), ("c", "AG")]
    )  # fmt: skip
    assert counts.renamed == 3 and counts.records == 6
    assert "s: warning: 3 sequences shared a name" in caplog.text and "(first: a)" in caplog.text
    assert (out / "s.warnings.txt").read_text().splitlines() == counts.warnings
    assert len(rows(out / "s.shards.tsv")) == 3  # those of the second reading only


def test_a_rename_that_hits_another_name_is_refused(split):
    with pytest.raises(InputError, match="two sequences would be called a_dup2") as refusal:
        split(">a\nAC\n>a\nGG\n", ">a_dup2\nTT\n")
    assert ": a in in0.fa and a_dup2 in in1.fa. " in str(refusal.value)


@pytest.mark.parametrize("name", ["sequence_id", "name", "a_dup2", "unnamed_9", "s.records.tsv"])
def test_a_name_that_occurs_once_is_kept(split, caplog, name):
    counts, out = split(f">{name}\nAC\n")
    assert ids_and_names(out) == [(name, name, "in0.fa")]
    assert counts.renamed == 0 and not caplog.text and counts.warnings == []


def test_names_of_the_header_row_can_repeat(split):
    _, out = split(">sequence_id\nAC\n>sequence_id\nAC\n")
    assert [row[0] for row in rows(out / "s.records.tsv")] == ["sequence_id", "sequence_id_dup2"]


def test_records_without_a_name_are_numbered_by_their_place(split):
    counts, out = split(">\nAC\n>a\nGG\n> \nTT\n", ">\nAG\n")
    assert ids_and_names(out) == [
        ("unnamed_1", "", "in0.fa"), ("a", "a", "in0.fa"),
        ("unnamed_3", "", "in0.fa"), ("unnamed_4", "", "in1.fa"),
    ]  # fmt: skip
    assert counts.renamed == 0


def test_a_number_that_is_another_ones_name_is_told_apart(split):
    counts, out = split(">unnamed_2\nAC\n>\nGG\n>a\nTT\n>a\nTT\n")
    assert [row[:2] for row in rows(out / "s.records.tsv")] == [
        ["unnamed_2", "unnamed_2"], ["unnamed_2_dup2", ""], ["a", "a"], ["a_dup2", "a"],
    ]  # fmt: skip
    assert counts.renamed == 1  # the one without a name has not lost any


def test_names_that_readers_misread_get_another_id(split, caplog):
    with caplog.at_level(logging.WARNING):
        counts, out = split('>a\nAC\n>=1\nAC\n>b"c x\nGG\n>track_1\nTT\n>#a\nAG\n')
    assert ids_and_names(out) == [
        ("a", "a", "in0.fa"), ("_=1", "%3D1", "in0.fa"), ("b_c", "b%22c", "in0.fa"),
        ("_track_1", "track_1", "in0.fa"), ("_#a", "#a", "in0.fa"),
    ]  # fmt: skip
    names = [record.name for record in read_split_records(out / "s.records.tsv")]
    assert names == ["a", "=1", 'b"c', "track_1", "#a"]
    assert chunk_text(out).split("\n")[2] == ">_=1_chunk_1"
    assert counts.renamed == 0
    assert "s: warning: 4 of 5 sequences were renamed (first: _=1)" in caplog.text


def test_an_id_that_clashes_with_a_name_is_numbered(split):
    counts, out = split('>a_b\nAC\n>a"b\nGG\n>=x\nTT\n>_=x\nTT\n>=x\nTT\n')
    assert [row[:2] for row in rows(out / "s.records.tsv")] == [
        ["a_b", "a_b"], ["a_b_dup2", "a%22b"], ["_=x", "%3Dx"], ["_=x_dup2", "_=x"],
        ["_=x_dup3", "%3Dx"],
    ]  # fmt: skip
    assert counts.renamed == 3
    assert [text[:31] for text in counts.warnings] == [
        "3 of 5 sequences were renamed (", "3 sequences shared a name with ",
    ]  # fmt: skip


@pytest.mark.parametrize("text", [">{} x\nAC\n", "@{} x\nAC\n+\nII\n"])
def test_names_that_are_not_ascii_get_an_id_that_is(split, text):
    names = ["Z\u00fcrich", "Z\u00f6rich", "caf\udce9", "\u4e2d"]
    _, out = split("".join(text.format(name) for name in names))
    assert [row[:2] for row in rows(out / "s.records.tsv")] == [
        ["Z_rich", "Z%C3%BCrich"], ["Z_rich_dup2", "Z%C3%B6rich"], ["caf_", "caf%E9"],
        ["_", "%E4%B8%AD"],
    ]  # fmt: skip
    assert [r.name for r in read_split_records(out / "s.records.tsv")] == names


@pytest.mark.parametrize("letter", ["\x01", "\x08", "\x1b", "\x1c", "\x1f", "\x7f"])
@pytest.mark.parametrize("text", [">a\nAC\n>b{}c d\nGG\n", "@a\nAC\n+\nII\n@b{}c d\nGG\n+\nII\n"])
def test_a_control_character_in_a_name_is_refused(split, letter, text):
    with pytest.raises(InputError) as refusal:
        split(">x\nAC\n", text.format(letter))
    escape = ascii(letter)
    assert str(refusal.value).startswith(
        f"in1.fa, record 2: its name b{escape[1:-1]}c has the control character {escape}. "
    )


def test_control_characters_in_a_description_do_no_harm(split):
    _, out = split(">a x\x01y\x1fz\nAC\n>b\tx\x1by\nAC\n")
    assert [row[0] for row in rows(out / "s.records.tsv")] == ["a", "b"]


def test_a_name_of_ten_thousand_letters_is_refused_in_a_short_message(split):
    with pytest.raises(
        InputError, match="in0.fa, record 1: its name ACGT.*… has 10000 letters"
    ) as e:
        split(f">{'ACGT' * 2500}\n")
    assert len(str(e.value)) < 300
    with pytest.raises(InputError) as e:
        split(f">{'A' * 999}\nA9\n")
    assert len(str(e.value)) < 300


def test_the_name_of_a_file_does_no_harm_in_a_table(tmp_path):
    path = tmp_path / '"q"\t=1\u00e9.fa'
    path.write_text(">a\nAC\n")
    split_sample("s", [InputFile(path)], 500, 0, tmp_path)
    assert ids_and_names(tmp_path) == [("a", "a", "%22q%22%09=1%C3%A9.fa")]
    (record,) = read_split_records(tmp_path / "s.records.tsv")
    assert record.file == path.name


def test_sequences_with_u_are_counted(split, tmp_path):
    text = ">a\nACGT\n>b\nACGU\n>c\nacgu\n>d\nACTU\n>e\nNN\n"
    assert split(text.replace("U", "A").replace("u", "a"))[0].warnings == []
    with_u, with_both = split(text)[0].warnings
    assert with_u.startswith("3 of 5 sequences contain U (first: b)") and "use --rna" in with_u
    assert with_both.startswith("1 of 5 sequences contain both T and U (first: d)")
    assert "suspicious" in with_both
    source = InputFile(tmp_path / "in0.fa", is_rna=True)
    assert split_sample("s", [source], 500, 0, tmp_path).warnings == []


@pytest.mark.parametrize(
    "lengths, left_out",
    [
        (LengthRange(), {}),
        (LengthRange(3, 5), {"two": "shorter_than_min_length", "six": "longer_than_max_length"}),
        (LengthRange(3), {"two": "shorter_than_min_length"}),
        (LengthRange(0, 5), {"six": "longer_than_max_length"}),
        (LengthRange(2, 6), {}),
    ],
)
def test_sequences_of_other_lengths_have_a_row_and_no_chunk(split, lengths, left_out):
    text = ">two\nAC\n>three\nACG\n>five\nACGTA\n>six\nACGTAC\n"
    counts, out = split(text, lengths=lengths)
    reasons = {row[0]: row[5] for row in rows(out / "s.records.tsv")}
    assert reasons == {name: left_out.get(name, "") for name in ("two", "three", "five", "six")}
    chunks = [line[1:-8] for line in chunk_text(out).split("\n") if line[:1] == ">"]
    assert chunks == [name for name in reasons if name not in left_out]
    assert (counts.records, counts.left_out, counts.chunks) == (4, len(left_out), 4 - len(left_out))
    assert counts.warnings == []


def test_ids_are_unique_also_among_sequences_that_are_left_out(split):
    _, out = split(">a\nAC\n>a\nACGT\n", lengths=LengthRange(3))
    assert [row[0] for row in rows(out / "s.records.tsv")] == ["a", "a_dup2"]
    assert chunk_text(out) == ">a_dup2_chunk_1\nACGT\n"


def test_a_sample_that_is_left_out_as_a_whole_has_no_shard(split):
    counts, out = split(">a\nAC\n>b\nAC\n", lengths=LengthRange(3))
    assert rows(out / "s.shards.tsv") == [] and not list(out.glob("*.fna"))
    assert counts.warnings == ["none of 2 sequences is within --min_length and --max_length"]


def test_mates_are_told_apart_by_their_suffix(split):
    counts, out = split(">a\nAC\n>\nAC\n", ">a\nGG\n>\nAC\n", mates=["/1", "/2"])
    assert [row[0] for row in rows(out / "s.records.tsv")] == [
        "a/1", "unnamed_2", "a/2", "unnamed_4",
    ]  # fmt: skip
    assert counts.renamed == 0


def test_repeated_ids_compare_whole_names(tmp_path):
    table = tmp_path / "t"
    names = ["b", "a", "B", "a b", "a.1", "a_1", "a", "b ", "10", "1", "\u00e9", "\u00e9"]
    table.write_text("sequence_id\tname\n" + "".join(f"{name}\tb\n" for name in names))
    assert repeated_ids(table) == {"a", "\u00e9"}


def test_warnings_of_the_reader_are_the_samples(split, caplog):
    texts = [">a\nAC\n--\n>b\nGG\n", ">a\nAC\n--\n"]  # read twice, since a repeats
    with caplog.at_level(logging.WARNING):
        counts, out = split(*texts)
    assert [line.split(":")[0] for line in counts.warnings[:2]] == ["in0.fa", "in1.fa"]
    assert all("1 line '--' between records" in line for line in counts.warnings[:2])
    assert len(counts.warnings) == 3 and "NAME_dupN" in counts.warnings[2]
    assert (out / "s.warnings.txt").read_text().splitlines() == counts.warnings
    assert caplog.text.count("warning: ") == 3


def test_a_bad_file_stops_the_sample(split):
    with pytest.raises(InputError, match="in1.fa, record 1 .b.: letter '9'"):
        split(">a\nAC\n", ">b\nA9\n")


def test_memory_does_not_grow_with_the_number_of_records(split):
    peaks = []
    for num_records in (1000, 10_000):
        text = random_fasta(9, [150] * num_records)
        tracemalloc.start()
        split(text, shard_tokens=100_000)
        peaks.append(tracemalloc.get_traced_memory()[1] - len(text))
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 100_000, peaks


def test_the_executable_passes_every_option_on(split_and_translate, tmp_path, original):
    left, right = tmp_path / "x 'y'.fa", tmp_path / "z.fa"
    left.write_text(random_fasta(10, [1300]))
    right.write_text(random_fasta(11, [400]))
    out = split_and_translate(left, right, sample="p", chunk_bp=300, ends="12", shard_tokens=120)
    assert ids_and_names_of(out, "p") == [("r0/1", left.name), ("r0/2", right.name)]
    starts = [original.chunk_coordinates(n, 300) for n in (1300, 400)]
    assert len(rows(out / "p.shards.tsv")) == 4 and sum(map(len, starts)) == 7
    text = "".join(path.read_text() for path in sorted(out.glob("p.*.chunks.fna")))
    assert max(map(len, text.split("\n"))) == LINE_LENGTH
    assert text.count(">r0/1_chunk_") == 5 and text.count(">r0/2_chunk_") == 2


def ids_and_names_of(out, sample):
    return [(row[0], row[2]) for row in rows(out / f"{sample}.records.tsv")]


def test_the_executable_reports_a_bad_file(split_and_translate, tmp_path, capsys):
    bad = tmp_path / "bad.fa"
    bad.write_text(">b\nA9\n")
    with pytest.raises(SystemExit, match="2"):
        split_and_translate(bad)
    assert "error: bad.fa, record 1 (b): letter '9' at position 2" in capsys.readouterr().err


@pytest.mark.parametrize("first, second", [(2, 1), (1, 2), (2, 0)])
def test_mates_without_a_counterpart_are_refused(split, first, second):
    reads = [">a\nAC\n" * first, ">a\nGG\n" * second]
    assert split(*reads)[0].records == 3 - (second == 0)  # not given as mates
    words = f"in1.fa: {second} reads, but {first} in the file of their mates, in0.fa. "
    with pytest.raises(InputError, match=words):
        split(*reads, mates=["/1", "/2"])


def test_each_file_of_mates_is_compared_with_its_own(split):
    texts = [">a\nAC\n", ">b\nAC\n>c\nAC\n", ">b\nAC\n>c\nAC\n", "", ""]
    assert split(*texts, mates=["", "/1", "/2", "/1", "/2"])[0].records == 5


def reads(*names: str) -> str:
    return "".join(f">{name}\nAC\n" for name in names)


PAIRED = [  # names in the file of first mates, in that of second ones, ids
    ("a b", "a b", "a/1 b/1 a/2 b/2"),
    ("a/1 b/1", "a/2 b/2", "a/1 b/1 a/2 b/2"),
    ("a/1 b", "a b/2", "a/1 b/1 a/2 b/2"),
    ("S.1.1 S.2.1", "S.1.2 S.2.2", "S.1.1/1 S.2.1/1 S.1.2/2 S.2.2/2"),  # SRA, fastq-dump -I
    ("a_R1 a_1", "a_R2 a_1", "a_R1/1 a_1/1 a_R2/2 a_1/2"),
    ("a_1:N:0:AC b", "a_2:N:0:AC b", "a_1:N:0:AC/1 b/1 a_2:N:0:AC/2 b/2"),
]


@pytest.mark.parametrize("first, second, ids", PAIRED)
def test_names_of_mates_agree_but_for_the_mate(split, first, second, ids):
    _, out = split(reads(*first.split()), reads(*second.split()), mates=["/1", "/2"])
    assert [row[0] for row in rows(out / "s.records.tsv")] == ids.split()


@pytest.mark.parametrize("first, second, words", [
    ("A0 A1", "B0 B1", "in0.fa and in1.fa, record 1 of each: A0 and B0 are not the names of one pair"),
    ("a b c", "a c b", "record 2 of each: b and c are not the names"),
    ("a b c", "a b x", "record 3 of each: c and x are not the names"),
    ("a b", "a b/1", "record 2 of each: b and b/1 are not the names"),
    ("S.1 S.2 S.3", "S.2 S.3 S.4", "record 2 of each: S.2 and S.3 are not the names"),
    ("a_1 a_2", "a.2 a.2", "record 1 of each: a_1 and a.2 are not the names"),
    ("A0 A1", "B0", "record 1 of each: A0 and B0"),  # rather than the number of reads
    ("a/2 b/2", "a/1 b/1", "in0.fa: its first read, a/2, is a second mate, but the file is given as that of the first ones"),
    ("a.2", "a.1", "record 1 of each: a.2 and a.1 are second and first mate. Give the file of first"),
    ("a/1", "a/1", "in1.fa: its first read, a/1, is a first mate, but the file is given as that of the second"),
])  # fmt: skip
def test_files_of_other_reads_are_no_mates(split, first, second, words):
    with pytest.raises(InputError) as refusal:
        split(reads(*first.split()), reads(*second.split()), mates=["/1", "/2"])
    assert words in str(refusal.value)


def test_illumina_comments_show_exchanged_mates(split):
    first, second = ">a 1:N:0:AC\nAC\n", "\n>a 2:Y:18:AC\nAC\n"
    assert split(first, second, mates=["/1", "/2"])[0].records == 2
    assert split(first, ">a 3:N:0\nAC\n", mates=["/1", "/2"])[0].records == 2  # R2 is a barcode
    with pytest.raises(InputError, match="in0.fa: its first read, a, is a second mate"):
        split(second, first, mates=["/1", "/2"])
    with pytest.raises(InputError, match="in1.fa: its first read, a, is a first mate"):
        split(first, first, mates=["/1", "/2"])


def test_a_damaged_file_of_mates_is_reported_as_that(split):
    with pytest.raises(InputError, match="in1.fa: is neither FASTA"):
        split(reads("a"), "ssc", mates=["/1", "/2"])


@pytest.mark.parametrize("names, ids", [
    ("a a b b", "a/1 a/2 b/1 b/2"),
    ("a/1 a/2 S.1.1 S.1.2", "a/1 a/2 S.1.1/1 S.1.2/2"),
    ("", ""),
])  # fmt: skip
def test_reads_of_an_interleaved_file_alternate(split, names, ids):
    _, out = split(reads(*names.split()), interleaved=True)
    assert [row[0] for row in rows(out / "s.records.tsv")] == ids.split()
    assert split(reads(*names.split()))[0].records == len(ids.split())  # an option, not a guess


@pytest.mark.parametrize("names, words", [
    ("a a b", "in0.fa: 3 reads, of which the last (b) has no mate. Is the file interleaved?"),
    ("a a b c", "in0.fa, records 3 and 4: b and c are not the first and second read of a pair"),
    ("a/2 a/1", "records 1 and 2: a/2 and a/1 are not the first and second"),
    ("a b a b", "records 1 and 2: a and b are not"),
])  # fmt: skip
def test_a_file_that_is_not_interleaved_is_refused(split, names, words):
    with pytest.raises(InputError) as refusal:
        split(reads(*names.split()), interleaved=True)
    assert words in str(refusal.value)


def test_the_executable_reads_interleaved_files(split_and_translate, tmp_path):
    (tmp_path / "both.fa").write_text(reads("a", "a"))
    (tmp_path / "one.fa").write_text(reads("b"))
    out = split_and_translate(tmp_path / "both.fa", tmp_path / "one.fa", sample="p", ends="i0")
    assert [name for name, _ in ids_and_names_of(out, "p")] == ["a/1", "a/2", "b"]


def test_tables_and_chunks_break_at_line_feeds_alone(tmp_path):
    """SPLIT refuses such names; a reader must not make two rows of one either."""
    odd = "a\rb\x0bc\x0cd\x1ce\x1df\x1eg\x85h\u2028i\u2029j"
    table = tmp_path / "t"
    table.write_text(f"{RECORDS_HEADER}{odd}\tn\tf\t2\t1\t\n{odd}\tn\tf\t2\t1\t\n")
    assert repeated_ids(table) == {odd}
    assert [record.sequence_id for record in read_split_records(table)] == [odd, odd]
    table.write_text(f">{odd}_chunk_1\nAC\n")
    assert list(read_chunks(table)) == [(f"{odd}_chunk_1", "AC")]
