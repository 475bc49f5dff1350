"""Kinds of files that a reader may meet damaged: how each is read, and valid examples.

`read` asserts what holds of every result, so that a file is either refused or read right.
"""

import io
import json
import math
import pickle
import tempfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pysam
import torch
import xopen

from virnucpro.comparison.tables import recognise
from virnucpro.consensus.calibration_file import load_calibration, to_json
from virnucpro.consensus.calibrator import (
    Bin,
    Calibration,
    Calibrator,
    Isotonic,
    MadeFor,
    Rates,
    Temperature,
)
from virnucpro.embeddings.store import EmbeddingsWriter, Provenance, read_embeddings, read_no_vector
from virnucpro.errors import InputError
from virnucpro.input_checks.check_samplesheet_task import check_input
from virnucpro.input_checks.engine_options import EncoderOptions, EngineProfile, encoder_options
from virnucpro.input_checks.sheet import InputRequest
from virnucpro.model_import.pickle_values import Refused
from virnucpro.model_import.restricted_unpickler import read_pickle
from virnucpro.model_import.safetensors_file import read_safetensors
from virnucpro.model_import.sources_table import TABLE, read_table
from virnucpro.model_import.torch_file import read_torch_file, state_of_module
from virnucpro.model_sets.certificates import certificate_fault, certified_precisions
from virnucpro.model_sets.description import read_model_set
from virnucpro.models.options import ATTENTION, MIN_TOKEN_BUDGET, PROFILE_FORMAT
from virnucpro.scoring.classifier import TENSORS, load_classifier, save_classifier
from virnucpro.scoring.scores_file import read_scores, write_scores
from virnucpro.sequences.frames_file import read_frames
from virnucpro.sequences.names import SAFE_ID, decode_cell, encode_cell, name_fault, safe_id
from virnucpro.sequences.reader import NUCLEOTIDE_LETTERS, InputFile, read_records
from virnucpro.sequences.sample_chunks import CHUNKS_HEADER, read_sequences, read_shard
from virnucpro.sequences.split_files import RECORDS_HEADER, SHARDS_HEADER, read_shard_list

ROOT = Path(__file__).parents[2]
SAMPLES_SCHEMA = json.loads((ROOT / "assets/schema_input.json").read_text())
GENOMES_SCHEMA = json.loads((ROOT / "assets/schema_train.json").read_text())
SUMS = {role: role[0] * 64 for role in ("dnabert_s", "tokenizer", "esm2", "classifier")}


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
        read: raises InputError, or asserts what must hold of what it has read.
        examples: returns valid files.
        is_json: whether its values can be replaced one by one.
    """

    read: Callable[[Path], Any]
    examples: Callable[[], list[bytes]]
    is_json: bool = False


def written(write: Callable[[Path], object]) -> bytes:
    """Return the bytes that a function writes to a path."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x"
        write(path)
        return path.read_bytes()


# Sequences

FASTA = b">a first\nACGTNacgu\nRYSW\n\n>b\r\nACGT\r\n>empty\n>c|x y\nGG-A.T\n"
FASTQ = b"@q1 x\nACGT\n+\nII@I\n@q2\nGGN\n+q2\n>+@\n"


def read_sequence_file(path: Path) -> None:
    for is_rna in (False, True):
        for record in read_records(InputFile(path, "/1", is_rna)):
            assert not record.sequence.encode().translate(None, NUCLEOTIDE_LETTERS)
            assert not set(" \t\n\r") & set(record.name), record.name
            in_table = decode_cell(encode_cell(record.name))
            assert as_bytes(in_table) == as_bytes(record.name)
            assert name_fault(record.name) or SAFE_ID.fullmatch(safe_id(record.name))
            assert not (is_rna and set("Uu") & set(record.sequence))


def as_bytes(name: str) -> bytes:
    """Return a name as in its file: the reader keeps bytes beyond ASCII as surrogates."""
    return name.encode("utf-8", "surrogateescape")


def sequence_files() -> list[bytes]:
    files = [FASTA, FASTQ, written(_write_bam)]
    for kind in ("gz", "bz2", "xz", "zst"):
        files.append(written(lambda path, kind=kind: _write_compressed(path, kind)))
    return files


def _write_compressed(path: Path, kind: str) -> None:
    with xopen.xopen(path, "wb", format=kind, threads=0) as file:
        file.write(FASTA)


def _write_bam(path: Path) -> None:
    header = {"HD": {"VN": "1.6"}, "SQ": [{"SN": "c", "LN": 1000}]}
    with pysam.AlignmentFile(str(path), "wb", header=header) as bam:
        for name, flag, sequence in (("p", 77, "ACGTN"), ("p", 141, "GG"), ("r", 16, "AACG")):
            read = pysam.AlignedSegment(bam.header)
            read.query_name, read.flag, read.query_sequence = name, flag, sequence
            if not flag & 4:
                read.reference_id, read.reference_start, read.cigarstring = 0, 1, "4M"
            bam.write(read)


# Files between tasks

CHUNKS = b">a_chunk_1\nATGAAACGTG\nCA\n>a_chunk_2\nATGAAACGTGCA\n>b_chunk_1\nTAATAA\n"
CHUNK_TABLE = CHUNKS_HEADER.encode() + (
    b"a_chunk_1\t12\tooodsn\t\t\na_chunk_2\t12\tpsssss\t3\t12\nb_chunk_1\t6\tssssss\t\t\n"
)
RECORDS = RECORDS_HEADER.encode() + b"a\ta\tx.fa\t24\t2\t\nb\tb\tx.fa\t6\t1\t\nc\tc\tx.fa\t0\t0\t\n"
SHARDS = SHARDS_HEADER.encode() + b"s.00001\t2\t24\ns.00002\t1\t6\n"


def read_frames_file(path: Path) -> None:
    ids, sequences = read_frames(path)
    assert len(ids) == len(sequences) == len(set(ids)) and all(sequences)


def read_score_table(path: Path) -> None:
    for row in read_scores(path):
        assert row.reason or all(0 <= float(text) <= 1 for text in (row.other_text, row.virus_text))


def read_chunk_table(path: Path) -> None:
    """Read a table beside a good shard."""
    _read_beside(path, "fna", CHUNKS, lambda good: read_shard("s.00001", 3, good, path))


def read_chunk_file(path: Path) -> None:
    """Read a shard beside a good table."""
    _read_beside(path, "tsv", CHUNK_TABLE, lambda good: read_shard("s.00001", 3, path, good))


def _read_beside(path: Path, ending: str, content: bytes, read: Callable[[Path], Any]) -> None:
    good = path.with_name(f"good.{ending}")
    good.write_bytes(content)
    chunks = list(read(good))
    assert [len(chunk.states) for chunk in chunks] == [6, 6, 6]
    for chunk in chunks:
        assert set(chunk.states) <= set("odpqsn")
        assert bool(chunk.partial) == bool(chunk.partial_frame)
        if chunk.partial:
            assert 0 <= chunk.partial.start < chunk.partial.end <= len(chunk.sequence)


def read_record_table(path: Path) -> None:
    """Read the records beside good chunks."""
    for name, content in (("good.fna", CHUNKS), ("good.tsv", CHUNK_TABLE)):
        path.with_name(name).write_bytes(content)
    chunks = read_shard("s.00001", 3, path.with_name("good.fna"), path.with_name("good.tsv"))
    sequences = list(read_sequences("s", path, chunks, 12))
    assert [len(sequence.chunks) for sequence in sequences if sequence.chunks] == [2, 1]


def read_shard_table(path: Path) -> None:
    assert all(num_chunks >= 0 for num_chunks in read_shard_list(path).values())


PROVENANCE = Provenance("esm2", "a" * 64, "", "d" * 64, {"device": "cpu", "engine": 1}, 10, 0)


def read_embeddings_file(path: Path) -> None:
    ids, vectors, provenance = read_embeddings(path)
    assert vectors.shape[0] == len(ids) == len(set(ids)) and vectors.dtype == np.float32
    assert np.isfinite(vectors[read_no_vector(path) == 0]).all() and isinstance(
        provenance.num_tokens, int
    )


def embeddings_file(no_vector: int = 0) -> bytes:
    def write(path: Path) -> None:
        writer = EmbeddingsWriter(path, ["a_chunk_1F1", "b_chunk_1R3"], 3)
        vectors = np.arange(6, dtype=np.float32).reshape(2, 3)
        writer.write(0, np.where([[False], [no_vector > 0]], np.float32(np.nan), vectors))
        writer.finish(PROVENANCE, np.array([0, no_vector], np.uint8))

    return written(write)


# Model sets

RATES = Rates((-1.0, 0.0, 0.5, 0.8), (1.0, 0.9, 0.6, 0.2), (1.0, 0.3, 0.1, 0.05))
CALIBRATION = Calibration(
    (
        Bin(1, Temperature(2.0, 0.0), RATES),
        Bin(5, Isotonic((-0.6, 0.0, 0.4), (0.1, 0.3, 0.9)), RATES),
    ),
    made_for=MadeFor(500, "longest_open", 20, SUMS),
)
DESCRIPTION = {
    "format": 1,
    "name": "random",
    "chunk_bp": [500, 300],
    "frame_rule": {"rule": "longest_open", "min_residues": 25},
    "licence": "MIT",
    "components": {
        "dnabert_s": {"file": "d.safetensors", "sha256": SUMS["dnabert_s"], "width": 64},
        "tokenizer": {"file": "t.json", "sha256": "0" * 64},
        "esm2": {"file": "../store/e.safetensors", "sha256": SUMS["esm2"], "width": 64},
        "classifier": {"file": "c.safetensors", "sha256": SUMS["classifier"],
                       "input_width": 128, "composition_features": 0},
    },
    "calibration": [
        {"chunk_bp": 500, "frame_rule": "open", "file": "x.json", "sha256": "Ab" * 32}
    ],
    "certified": {"fp8": {"esm2": {"model_set_digest": "x", "passed": True, "faults": []}}},
}  # fmt: skip
PROFILE = {
    "format": PROFILE_FORMAT,
    "precision": "fp16",
    "asked_precision": "auto",
    "device_type": "cuda",
    "encoders": {
        role: {"attention": "sdpa", "token_budget": 4096, "component_sha256": SUMS[role]}
        for role in ("dnabert_s", "esm2")
    },
}


def as_json(value: object) -> bytes:
    return json.dumps(value, indent=1).encode()


def read_calibration_file(path: Path) -> None:
    calibration = load_calibration(path)
    assert load_again(path, to_json(calibration)) == calibration
    for prior in (None, 1e-6, 0.9):
        calibrator = Calibrator(calibration, prior)
        for num_chunks in (1, 2, 10**6):
            last = -1.0
            for delta in (-1.0, -0.5, 0.0, 0.4, 1.0):
                verdict = calibrator.verdict(delta, num_chunks)
                assert 0 <= verdict.p_virus <= 1 and verdict.p_virus >= last
                assert (verdict.fdr is not None) == verdict.is_virus
                assert verdict.fdr is None or 0 <= verdict.fdr <= 1
                last = verdict.p_virus


def load_again(path: Path, text: str) -> Calibration:
    copy = path.with_name("again")
    copy.write_text(text)
    return load_calibration(copy)


def read_modelset_file(path: Path) -> None:
    """Read a modelset.json, and ask for all that the commands ask of a set."""
    model_set = read_model_set(Path("set"), path)
    assert model_set.name and "\n" not in model_set.name
    assert all(1 <= chunk_bp < 2**31 for chunk_bp in model_set.chunk_bp)
    assert len(model_set.digest) == 64 and str(model_set.frame_rule)
    assert model_set.frame_rule.min_residues >= 1
    for entry in model_set.calibrations:
        assert len(entry.sha256) == 64 and entry.file.endswith(".json")
    assert all(isinstance(name, str) for name in certified_precisions(model_set))
    assert all(isinstance(text, str) for text in certificate_fault(model_set, "fp8"))


def read_profile(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "modelset.json").write_bytes(as_json(DESCRIPTION))
        model_set = read_model_set(Path(folder))
    profile = EngineProfile("p.json", staged=path)
    options, faults = encoder_options(model_set, EncoderOptions(), profile)
    if faults:
        raise InputError("\n".join(faults))
    for role in ("dnabert_s", "esm2"):
        assert options[role].attention in ATTENTION
        assert options[role].token_budget >= MIN_TOKEN_BUDGET


def read_sources(path: Path) -> None:
    table = read_table(path)
    for name in table.sets:
        assert all(file.url for file in table.official_set(name).files)


# Model import

STATE = OrderedDict(
    [("w", torch.arange(6.0).reshape(2, 3)), ("t", torch.arange(6.0).reshape(2, 3).T),
     ("h", torch.ones(3, dtype=torch.float16)), ("n", torch.tensor(7)), ("e", torch.empty(0, 4))]
)  # fmt: skip


def read_torch(path: Path) -> None:
    content = read_torch_file(path)
    value = content.value
    mapping = value if isinstance(value, dict) else {}
    if hasattr(value, "state"):
        mapping = state_of_module(value)
    for tensor in content.tensors(mapping).values():
        assert tensor.read().shape == tensor.shape


def torch_files() -> list[bytes]:
    linear = torch.nn.Sequential()  # not allowed, so that refusing is covered too
    return [
        written(lambda path: torch.save(STATE, path)),
        written(lambda path: torch.save(STATE, path, _use_new_zipfile_serialization=False)),
        written(lambda path: torch.save({"args": {"layers": 2}, "model": STATE}, path)),
        written(lambda path: torch.save(linear, path)),
    ]


def read_bare_pickle(path: Path) -> None:
    try:
        content = read_pickle(path.read_bytes())
    except Refused as error:
        raise InputError(str(error)) from error
    assert 0 < content.num_bytes <= path.stat().st_size


def pickles() -> list[bytes]:
    value = {"a": [1, -(2**40), 2.5, None, True], "b": ("x", {"z"}), 3: OrderedDict(k="v")}
    state = zipfile.ZipFile(io.BytesIO(written(lambda path: torch.save(STATE, path))))
    return [
        *(pickle.dumps(value, protocol) for protocol in range(6)),
        state.read(next(name for name in state.namelist() if name.endswith("data.pkl"))),
    ]


def read_safetensors_file(path: Path) -> None:
    tensors, metadata = read_safetensors(path)
    for tensor in tensors.values():
        assert tensor.read().shape == tensor.shape
    assert all(isinstance(text, str) for item in metadata.items() for text in item)


def read_classifier(path: Path) -> None:
    model = load_classifier(path)
    width = model.input_width
    composition = None
    if model.takes_composition:
        raise InputError("is of another kind")
    scores = model.scores(
        np.zeros((2, width), np.float32), np.zeros((2, 0), np.float32), composition
    )
    assert scores.shape == (2, 2)


def classifier_file() -> bytes:
    rng = np.random.default_rng(1)
    shapes = dict.fromkeys(TENSORS, (3,))
    shapes |= {
        "hidden_layer.weight": (3, 5),
        "output_layer.weight": (2, 3),
        "output_layer.bias": (2,),
    }
    tensors = {name: rng.random(shape, np.float32) for name, shape in shapes.items()}
    return written(lambda path: save_classifier(path, tensors))


# Sheets and tables of users

SHEET = b'sample,input,input_2,site\nlake,a.fa,,"north, ""x"""\nsea,r1.fq,r2.fq,south\nlake,b.fa\n'
GENOMES_SHEET = (
    b"id\tfasta\tlabel\tclass\tgroup\tsplit\n"
    b"g1\ta.fa\tviral\tphage\tG1\ttrain\ng2\tb.fa\tnonviral\tbacteria\tG2\ttest\n"
)
NAMES = ("a.fa", "b.fa", "r1.fq", "r2.fq")


def read_samples(path: Path) -> None:
    samples, genomes = check_input(_request(), path, SAMPLES_SCHEMA)
    assert samples and genomes is None
    ids = [sample["id"].lower() for sample in samples]
    assert len(ids) == len(set(ids))
    for sample in samples:
        assert sample["id"].isascii() and "/" not in sample["id"]
        assert len(sample["files"]) == len(sample["ends"]) == len(set(sample["files"])) > 0
        assert {*sample["files"]} <= {f"/data/{name}" for name in NAMES}
        for cell in (*sample["columns"], *sample["columns"].values()):
            assert "\n" not in cell and "\t" not in cell and "\r" not in cell


def read_genomes_sheet(path: Path) -> None:
    samples, table = check_input(_request(training_frames="open"), path, GENOMES_SCHEMA)
    lines = table.split("\n")
    assert len(lines) == len(samples) + 2 and not lines[-1]
    assert {line.count("\t") for line in lines[:-1]} == {5}


def _request(**options: Any) -> InputRequest:
    paths = {name: f"/data/{name}" for name in NAMES}
    return InputRequest("s.csv", paths=paths, real_paths=paths, **options)


RESULTS = [
    b"Sequence_ID\tPrediction\tscore1\tscore2\na_chunk_1F1\tvirus\t0.1\t0.9\n",
    b"Modified_ID\tIs_Virus\na_chunk_1\tTrue\n",
    b"sequence_id\tcall\tweighted_delta\na\tviral\t0.5\nb\tnone\t\n",
    b"Sequence_ID,Prediction,score1,score2\n",
]


def read_results(path: Path) -> None:
    table = recognise(path)
    if table is None:
        raise InputError("is not a result table")
    for row in table.rows():
        assert row.label in ("virus", "other", "none")
        assert isinstance(row.virus, float) or math.isnan(row.virus)


def scores_file() -> bytes:
    scores = np.array([[0.25, 0.75], [1e-7, 1], [np.nan, np.nan]], np.float32)
    ids, reasons = ["a_chunk_1F1", "b_chunk_1R3", "b_chunk_2F1"], ["", "", "not_finite"]
    return written(lambda path: write_scores(path, ids, scores, reasons))


FORMATS = {
    "sequences": Format(read_sequence_file, sequence_files),
    "frames": Format(read_frames_file, lambda: [b">a_chunk_1F1\nMK\nVL\n>a_chunk_2R3\nW\n"]),
    "scores": Format(read_score_table, lambda: [scores_file()]),
    "chunks": Format(read_chunk_file, lambda: [CHUNKS]),
    "chunk_table": Format(read_chunk_table, lambda: [CHUNK_TABLE]),
    "records": Format(read_record_table, lambda: [RECORDS]),
    "shards": Format(read_shard_table, lambda: [SHARDS]),
    "embeddings": Format(read_embeddings_file, lambda: [embeddings_file(), embeddings_file(1)]),
    "calibration": Format(
        read_calibration_file, lambda: [to_json(CALIBRATION).encode()], is_json=True
    ),
    "modelset": Format(read_modelset_file, lambda: [as_json(DESCRIPTION)], is_json=True),
    "engine_profile": Format(read_profile, lambda: [as_json(PROFILE)], is_json=True),
    "sources": Format(read_sources, lambda: [TABLE.read_bytes()]),
    "torch_file": Format(read_torch, torch_files),
    "pickle": Format(read_bare_pickle, pickles),
    "safetensors": Format(read_safetensors_file, lambda: [classifier_file()]),
    "classifier": Format(read_classifier, lambda: [classifier_file()]),
    "samplesheet": Format(read_samples, lambda: [SHEET, SHEET.replace(b",", b"\t")]),
    "training_sheet": Format(read_genomes_sheet, lambda: [GENOMES_SHEET]),
    "results": Format(read_results, lambda: RESULTS),
}
