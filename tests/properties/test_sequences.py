"""From a sequence file to frames: what must hold whatever the sequences and how they are stored."""

import itertools
import tempfile
from pathlib import Path

import pytest
import xopen
from hypothesis import given
from hypothesis import strategies as st

from virnucpro.sequences import split_files
from virnucpro.sequences.chunking import chunk_coordinates
from virnucpro.sequences.frames_file import read_frames
from virnucpro.sequences.names import safe_id
from virnucpro.sequences.reader import NUCLEOTIDE_LETTERS, InputFile, read_records
from virnucpro.sequences.sample_chunks import read_sequences, read_shard
from virnucpro.sequences.split_files import fasta_entry, read_chunks, read_shard_list
from virnucpro.sequences.split_task import split_sample
from virnucpro.sequences.translate_task import translate_shard
from virnucpro.sequences.translation import translate_chunks

MIN_CHUNK_BP = 30  # of --chunk_length, nextflow_schema.json
LETTERS = st.text("ACGT", max_size=90) | st.text(NUCLEOTIDE_LETTERS.decode(), max_size=90)
# Names as read_records returns them: no blanks, ASCII
NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=8)
# Names that stay different as ids, since repeated ones are numbered in the order of the files, and
# sequences whose last line is not `--`, which the reader takes for a separator of grep -A
RECORDS = st.lists(
    st.tuples(NAMES, LETTERS.filter(lambda sequence: not sequence.endswith("--"))),
    max_size=6,
    unique_by=lambda record: safe_id(record[0]),
)
COMPRESSIONS = st.sampled_from(["plain", "gz", "bz2", "xz", "zst"])


def write_fasta(path, records, width=60, end="\n", compression="plain"):
    lines = []
    for name, sequence in records:
        lines += [
            f">{name} note",
            *(sequence[i : i + width] for i in range(0, len(sequence), width)),
        ]
    data = "".join(line + end for line in lines).encode()
    if compression == "plain":
        path.write_bytes(data)
    else:
        with xopen.xopen(path, "wb", format=compression, threads=0) as stream:
            stream.write(data)


@given(RECORDS, st.integers(1, 100), st.sampled_from(["\n", "\r\n"]), COMPRESSIONS)
def test_records_do_not_depend_on_line_wrapping_line_ends_or_compression(
    records, width, end, compression
):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x"
        write_fasta(path, records, width, end, compression)
        assert [tuple(record) for record in read_records(InputFile(path))] == records


@given(RECORDS, COMPRESSIONS)
def test_a_fastq_has_the_same_records(records, compression):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x"
        data = "".join(f"@{name}\n{text}\n+\n{'>' * len(text)}\n" for name, text in records)
        with xopen.xopen(
            path, "wb", format=None if compression == "plain" else compression, threads=0
        ) as stream:
            stream.write(data.encode())
        assert [tuple(record) for record in read_records(InputFile(path))] == records


@given(st.integers(0, 10**6), st.integers(MIN_CHUNK_BP, 3000))
def test_chunks_cover_the_sequence(length_bp, chunk_bp):
    chunks = chunk_coordinates(length_bp, chunk_bp)
    assert len(chunks) == -(-length_bp // chunk_bp)
    if chunks:
        assert chunks[0][0] == 0 and chunks[-1][1] == length_bp
        assert all(end - start == chunk_bp for start, end in chunks[:-1])
        assert 0 < chunks[-1][1] - chunks[-1][0] <= chunk_bp
    for before, after in itertools.pairwise(chunks):
        assert before[0] < after[0] <= before[1] < after[1] or after[1] == length_bp


@given(length_bp=st.integers(0, 20_000), chunk_bp=st.integers(MIN_CHUNK_BP, 600))
def test_chunks_are_the_originals(original, length_bp, chunk_bp):
    assert chunk_coordinates(length_bp, chunk_bp) == original.chunk_coordinates(length_bp, chunk_bp)


@given(chunks=st.lists(LETTERS.filter(bool), max_size=5))
def test_frames_are_those_of_the_plain_definition(original, chunks):
    ids = [f"c{n}_" for n in range(len(chunks))]
    for name, chunk, found in zip(ids, chunks, translate_chunks(ids, chunks), strict=True):
        states, frames = original.frames(chunk)
        assert found.states == states and found.partial is None
        assert [tuple(f) for f in found.frames] == [(name + f, dna, aa) for f, dna, aa in frames]


@given(chunks=st.lists(LETTERS.filter(bool), max_size=5), min_residues=st.integers(1, 30))
def test_partial_frames_are_those_of_the_plain_definition(original, chunks, min_residues):
    ids = [f"c{n}_" for n in range(len(chunks))]
    for chunk, found in zip(chunks, translate_chunks(ids, chunks, min_residues), strict=True):
        states, frames, span = original.longest_open(chunk, min_residues)
        assert (found.states, found.partial) == (states, span)
        assert [(f.dna, f.protein) for f in found.frames] == [frame[1:] for frame in frames]


@pytest.mark.parametrize("block_letters", [1, 7, 2**18])
@given(records=st.lists(st.tuples(NAMES, LETTERS.filter(bool)), max_size=6))
def test_a_chunk_file_comes_back(block_letters, records):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(split_files, "BLOCK_LETTERS", block_letters)
        path = Path(folder) / "x"
        path.write_text("".join(fasta_entry(name, sequence) for name, sequence in records))
        assert list(read_chunks(path)) == records


def split_and_translate(folder, records, shard_tokens, num_files=1, **storage):
    """Return the sample's records.tsv, and its sequences with the frames of each chunk."""
    sources = []
    for n in range(num_files):
        path = folder / f"in{n}"
        write_fasta(path, records[n::num_files], **storage)
        sources.append(InputFile(path))
    split_sample("s", sources, MIN_CHUNK_BP, shard_tokens, folder)
    chunks, frames = [], {}
    for shard, num_chunks in read_shard_list(folder / "s.shards.tsv").items():
        fna, faa, table = (folder / f"{shard}.{end}" for end in ("fna", "faa", "chunks.tsv"))
        fasta = folder / f"{shard}.chunks.fna"
        translate_shard(fasta, fna, faa, table, 3)
        (ids, dna), (protein_ids, protein) = read_frames(fna), read_frames(faa)
        assert ids == protein_ids
        frames |= {name: pair for name, *pair in zip(ids, dna, protein, strict=True)}
        chunks += read_shard(shard, num_chunks, fasta, table)
    assert sum(len(chunk.frame_ids) for chunk in chunks) == len(frames)
    sequences = list(read_sequences("s", folder / "s.records.tsv", iter(chunks), MIN_CHUNK_BP))
    return {
        sequence.record.sequence_id: (
            sequence.record.name,
            sequence.record.length_bp,
            [(c.id, c.sequence, c.states, c.partial, *map(frames.get, c.frame_ids))
             for c in sequence.chunks],
        )
        for sequence in sequences
    }  # fmt: skip


@given(RECORDS, st.sampled_from([0, 1, 20]), st.integers(1, 3), st.integers(1, 100), COMPRESSIONS)
def test_frames_do_not_depend_on_shards_files_wrapping_or_compression(
    records, shard_tokens, num_files, width, compression
):
    with tempfile.TemporaryDirectory() as plain, tempfile.TemporaryDirectory() as other:
        expected = split_and_translate(Path(plain), records, 0)
        assert list(expected) == [safe_id(name) for name, _ in records]
        for (name, sequence), (written_name, length_bp, chunks) in zip(
            records, expected.values(), strict=True
        ):
            assert (written_name, length_bp) == (name, len(sequence))
            coordinates = chunk_coordinates(len(sequence), MIN_CHUNK_BP)
            assert [c[1] for c in chunks] == [sequence[slice(*part)] for part in coordinates]
        changed = split_and_translate(
            Path(other), records, shard_tokens, num_files, width=width, compression=compression
        )
        assert changed == expected
