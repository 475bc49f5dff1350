"""Our files, byte for byte, against those of the original program (tests/data/golden/README.md)."""

from pathlib import Path

import numpy as np
import pytest

from virnucpro.calls.summarise_task import SampleFiles, summarise_sample
from virnucpro.scoring.scores_file import write_scores

GOLDEN = Path(__file__).parents[1] / "data/golden"
# set -> prefix of its arrays in the .npz, folder of the original's result tables
SETS = {
    "test_with_orfs": ("with_orfs", "reference_vanilla_output"),
    "test_fixed_500bp": ("fixed_500bp", "test_fixed_500bp_merged"),
}
# The scores as the SPEC lists them, so that the .npz is not its own witness.
SCORES = {
    "synthetic_seq_1_chunk_1R1": ("0.12100612", "0.8789939"),
    "synthetic_seq_1_chunk_1R2": ("0.0011595711", "0.9988405"),
    "synthetic_seq_2_chunk_1R1": ("0.5501341", "0.4498659"),
    "synthetic_seq_2_chunk_1R2": ("0.06045397", "0.93954605"),
    "fixed_500bp_seq1_chunk_1R1": ("0.002076708", "0.9979233"),
    "fixed_500bp_seq1_chunk_1R3": ("0.21817714", "0.7818229"),
    "fixed_500bp_seq2_chunk_1R1": ("0.08007622", "0.9199237"),
    "fixed_500bp_seq2_chunk_1R3": ("0.22702886", "0.7729711"),
}


@pytest.fixture(scope="module")
def arrays():
    with np.load(GOLDEN / "embeddings_and_scores.npz") as file:
        return dict(file)


@pytest.mark.parametrize("name", [*SETS, "test_sequences_small"])
def test_chunks_are_the_originals(split_and_translate, name):
    out = split_and_translate(GOLDEN / f"{name}.fa")
    expected = (GOLDEN / f"{name}_chunked500.fa").read_bytes()
    assert (out / "s.00001.chunks.fna").read_bytes() == expected


@pytest.mark.parametrize("name", SETS)
def test_frames_are_the_originals(split_and_translate, name):
    out = split_and_translate(GOLDEN / f"{name}.fa")
    for ours, golden in (("fna", "nucleotide.fa"), ("faa", "protein.faa")):
        expected = (GOLDEN / f"{name}_identified_{golden}").read_bytes()
        assert (out / f"s.00001.frames.{ours}").read_bytes() == expected


@pytest.mark.parametrize(
    "name, num_chunks", [("test_sequences_small", 11), ("test_sequences", 100)]
)
def test_the_original_finds_no_open_frame_here(split_and_translate, name, num_chunks):
    out = split_and_translate(GOLDEN / f"{name}.fa")
    assert (out / "s.00001.frames.fna").read_bytes() == b""
    assert (out / "s.00001.frames.faa").read_bytes() == b""
    rows = (out / "s.00001.chunks.tsv").read_text().splitlines()[1:]
    assert len(rows) == num_chunks and {row.split("\t")[2] for row in rows} == {"ssssss"}


@pytest.mark.parametrize("shard_tokens", [0, 1])
@pytest.mark.parametrize("name", SETS)
def test_result_tables_are_the_originals(split_and_translate, arrays, name, shard_tokens):
    prefix, folder = SETS[name]
    work = split_and_translate(GOLDEN / f"{name}.fa", shard_tokens=shard_tokens)
    scores = dict(
        zip(arrays[f"{prefix}_ids"].tolist(), arrays[f"{prefix}_score_others_virus"], strict=True)
    )
    score_tables = []
    for frames in sorted(work.glob("s.*.frames.faa")):
        ids = [line[1:] for line in frames.read_text().splitlines() if line.startswith(">")]
        score_tables.append(work / frames.name.replace(".frames.faa", ".scores.tsv"))
        write_scores(score_tables[-1], ids, np.stack([scores.pop(frame_id) for frame_id in ids]))
    assert not scores and len(score_tables) == (2 if shard_tokens else 1)
    files = SampleFiles(
        "s",
        work / "s.records.tsv",
        work / "s.shards.tsv",
        sorted(work.glob("s.*.chunks.fna")),
        sorted(work.glob("s.*.chunks.tsv")),
        score_tables,
    )
    counts = summarise_sample(files, 500, work)
    assert (counts["frames"], counts["viral"]) == (4, 2)
    for table in ("prediction_results.txt", "prediction_results_highestscore.csv"):
        assert (work / table).read_bytes() == (GOLDEN / folder / table).read_bytes()


@pytest.mark.parametrize("name", SETS)
def test_the_arrays_are_those_of_the_golden_frames(arrays, name):
    prefix, folder = SETS[name]
    ids = arrays[f"{prefix}_ids"].tolist()
    lines = (GOLDEN / f"{name}_identified_protein.faa").read_text().splitlines()
    assert ids == [line[1:] for line in lines[::2]]
    assert arrays[f"{prefix}_dnabert_s"].shape == (4, 768)
    assert arrays[f"{prefix}_esm2_3b"].shape == (4, 2560)
    scores = arrays[f"{prefix}_score_others_virus"]
    assert scores.dtype == np.float32
    assert [tuple(map(str, row)) for row in scores] == [SCORES[frame_id] for frame_id in ids]
    table = (GOLDEN / folder / "prediction_results.txt").read_text().splitlines()[1:]
    assert [tuple(row.split("\t")[2:]) for row in table] == [SCORES[i] for i in ids]
