import random

import pytest

from virnucpro.sequences import translate_task as translate
from virnucpro.sequences.split_files import read_chunks
from virnucpro.sequences.translate_task import translate_shard
from virnucpro.sequences.translation import translate_chunks

HEADER = "chunk_id\tlength_bp\tframes\tpartial_start\tpartial_end\n"
CHUNKS = {
    "a_chunk_1": "ATGATGAAACGTGCA" * 20,  # 300 bp
    "a_chunk_2": "acgnnnacgacgac",
    'b"|x_chunk_1': "TAATTAATTAATTAA",  # a stop in each frame
    "c_chunk_1": "AC",
    "d_chunk_10": "NNNNN",
}


@pytest.fixture
def run(tmp_path):
    """Translate a FASTA text; return the three files' texts and the number of frames."""

    def translate_text(text: str, min_residues: int | None = None):
        (tmp_path / "in").write_text(text)
        outs = [tmp_path / name for name in ("fna", "faa", "tsv")]
        num_frames = translate_shard(tmp_path / "in", *outs, min_residues)
        return [path.read_text() for path in outs], num_frames

    return translate_text


def fasta(chunks: dict[str, str], width: int = 60) -> str:
    return "".join(
        f">{name}\n" + "".join(f"{c[i : i + width]}\n" for i in range(0, len(c), width))
        for name, c in chunks.items()
    )


def expected(original, chunks):
    fna = faa = ""
    table = HEADER
    for name, chunk in chunks.items():
        states, frames = original.frames(chunk)
        table += f"{name}\t{len(chunk)}\t{states}\t\t\n"
        for frame, dna, protein in frames:
            fna += f">{name}{frame}\n{dna}\n"
            faa += f">{name}{frame}\n{protein}\n"
    return [fna, faa, table], faa.count(">")


def test_files_of_a_shard(run, original):
    texts, num_frames = run(fasta(CHUNKS))
    assert (texts, num_frames) == expected(original, CHUNKS)
    assert texts[2] == (
        "chunk_id\tlength_bp\tframes\tpartial_start\tpartial_end\n"
        "a_chunk_1\t300\tosoooo\t\t\n"
        "a_chunk_2\t14\tdddddd\t\t\n"
        'b"|x_chunk_1\t15\tssssss\t\t\n'
        "c_chunk_1\t2\tnnnnnn\t\t\n"
        "d_chunk_10\t5\tnnnnnn\t\t\n"
    )
    assert num_frames == 11 and texts[1].splitlines()[1] == "MMKRA" * 20


@pytest.mark.parametrize("batch_chunks", [1, 2, 3, 7, 100])
def test_batches_do_not_show(run, original, monkeypatch, batch_chunks):
    rng = random.Random(batch_chunks)
    chunks = {
        f"r_chunk_{n}": "".join(rng.choices("ACGTN", k=rng.randrange(1, 130))) for n in range(60)
    }
    monkeypatch.setattr(translate, "BATCH_CHUNKS", batch_chunks)
    assert run(fasta(chunks)) == expected(original, chunks)


def test_a_shard_without_an_open_frame(run):
    (fna, faa, table), num_frames = run(">x_chunk_1\nTAATTAATTAATTAA\n")
    assert (fna, faa, num_frames) == ("", "", 0)
    assert table.splitlines()[1:] == ["x_chunk_1\t15\tssssss\t\t"]


def test_the_longest_stretch_stands_in_where_no_frame_is_open(run):
    (fna, faa, table), num_frames = run(fasta(CHUNKS), 3)
    (open_fna, open_faa, open_table), num_open = run(fasta(CHUNKS))
    row = 'b"|x_chunk_1\t15\t'
    assert table == open_table.replace(row + "ssssss\t\t\n", row + "psssss\t3\t12\n")
    # its frame stands between those of its neighbours, which stay as they are
    assert fna.replace('>b"|x_chunk_1F1\nTTAATTAATT\n', "") == open_fna != fna
    assert faa.replace('>b"|x_chunk_1F1\nLIN\n', "") == open_faa != faa
    assert num_frames == num_open + 1
    assert run(fasta(CHUNKS), 4) == ([open_fna, open_faa, open_table], num_open)


def test_an_empty_shard(run):
    assert run("") == (["", "", HEADER], 0)


def test_chunks_come_back_in_order_with_their_case(tmp_path):
    path = tmp_path / "in"
    path.write_text(fasta(CHUNKS, width=7))
    assert list(read_chunks(path)) == list(CHUNKS.items())


def test_the_executable_names_its_files_after_the_shard(executables, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "any.fa").write_text(">x_chunk_1\nATG\n")
    assert executables["translate"](["--shard", "s.00007", "--chunks", "any.fa"]) == 0
    assert (tmp_path / "s.00007.frames.fna").read_text() == ">x_chunk_1F1\nATG\n>x_chunk_1R1\nCAT\n"
    assert (tmp_path / "s.00007.frames.faa").read_text() == ">x_chunk_1F1\nM\n>x_chunk_1R1\nH\n"
    assert (tmp_path / "s.00007.chunks.tsv").read_text().endswith("\nx_chunk_1\t3\tonnonn\t\t\n")


@pytest.mark.parametrize(
    "options, rows",
    [
        ([], ["ssssss", "ssssss"]),
        (["--frame-rule", "open", "--min-residues", "3"], ["ssssss", "ssssss"]),
        (["--frame-rule", "longest_open"], ["spssss", "ssssss"]),  # 20 residues by default
        (["--frame-rule", "longest_open", "--min-residues", "21"], ["ssssss", "ssssss"]),
        (["--frame-rule", "longest_open", "--min-residues", "3"], ["spssss", "psssss"]),
    ],
)
def test_the_executable_takes_the_frame_rule(executables, tmp_path, monkeypatch, options, rows):
    monkeypatch.chdir(tmp_path)
    stops = "TAATTAATTAATTAA"
    twenty = stops + "GGC" * 16 + stops
    assert translate_chunks([""], [twenty], 20)[0].frames[0].protein == "LIK" + "A" * 16 + "N"
    (tmp_path / "any.fa").write_text(f">x_chunk_1\n{twenty}\n>y_chunk_1\n{stops}\n")
    assert executables["translate"](["--shard", "s", "--chunks", "any.fa", *options]) == 0
    lines = (tmp_path / "s.chunks.tsv").read_text().splitlines()[1:]
    assert [line.split("\t")[2] for line in lines] == rows


def test_the_executable_refuses_a_stretch_of_no_residue(executables, capsys):
    argv = ["--shard", "s", "--chunks", "x", "--frame-rule", "longest_open", "--min-residues", "0"]
    with pytest.raises(SystemExit):
        executables["translate"](argv)
    assert "--min-residues: 0 is not at least 1" in capsys.readouterr().err
