"""Joining both embeddings of a shard by frame id, with a small classifier."""

import hashlib

import numpy as np
import pytest
from embeddings_file import write_embeddings

from virnucpro.embeddings.store import Provenance
from virnucpro.errors import InputError
from virnucpro.scoring.classifier import load_classifier, save_classifier
from virnucpro.scoring.classify_task import classify_shard
from virnucpro.scoring.composition_features import COMPOSITION_WIDTH, composition_features
from virnucpro.scoring.joined_embeddings import EmbeddingsFile
from virnucpro.scoring.scores_file import read_scores
from virnucpro.sequences.no_vector import NOT_FINITE, TOO_LONG_FOR_GPU

IDS = ["a_chunk_1F1", "a_chunk_2R3", "b_chunk_1F2"]
DNA = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
PROTEIN = np.random.default_rng(1).normal(size=(3, 3)).astype(np.float32)
DNA_SHA, PROTEIN_SHA = "d" * 64, "e" * 64


def write(path, ids, data, sha256, tokenizer="", library="", **numerics):
    origin = Provenance("any", sha256, tokenizer, library, numerics, 1, 0)
    write_embeddings(path, ids, data, origin)
    return path


def mlp(path, input_width=8, **options):
    rng = np.random.default_rng(2)
    shapes = {
        "hidden_layer.weight": (4, input_width), "hidden_layer.bias": (4,), "bn1.weight": (4,),
        "bn1.bias": (4,), "bn1.running_mean": (4,), "bn1.running_var": (4,),
        "output_layer.weight": (2, 4), "output_layer.bias": (2,),
    }  # fmt: skip
    tensors = {name: rng.random(shape).astype(np.float32) for name, shape in shapes.items()}
    save_classifier(path, tensors, **options)


@pytest.fixture
def shard(tmp_path):
    mlp(tmp_path / "mlp")
    (tmp_path / "s.frames.fna").write_text("".join(f">{name}\nATGAAAC\n" for name in IDS))
    (tmp_path / "s.frames.faa").write_text("".join(f">{name}\nMK\n" for name in IDS))
    write(tmp_path / "s.dnabert_s.h5", IDS, DNA, DNA_SHA)
    write(tmp_path / "s.esm2.h5", IDS, PROTEIN, PROTEIN_SHA)
    return tmp_path


def classify(
    shard, dna_sha=DNA_SHA, protein_sha=PROTEIN_SHA, classifier_sha=None, tokenizer_sha=None
):
    return classify_shard(
        shard / "s.frames.faa",
        shard / "s.frames.fna",
        EmbeddingsFile(shard / "s.dnabert_s.h5", dna_sha, tokenizer_sha),
        EmbeddingsFile(shard / "s.esm2.h5", protein_sha),
        shard / "mlp",
        classifier_sha,
        shard / "s.scores.tsv",
    )


def test_scores_come_in_the_order_of_the_frame_file(shard):
    assert classify(shard) == 3
    expected = load_classifier(shard / "mlp").scores(DNA, PROTEIN)
    rows = list(read_scores(shard / "s.scores.tsv"))
    assert [row.frame_id for row in rows] == IDS
    assert [(row.other_text, row.virus_text) for row in rows] == [
        (str(other), str(virus)) for other, virus in expected
    ]
    assert len({row.virus_text for row in rows}) == 3


def write_without(shard, file, row, reason, order=(0, 1, 2)):
    """Write the embeddings of a shard, in an order, with one vector missing."""
    data, sha256 = (PROTEIN, PROTEIN_SHA) if "esm2" in file else (DNA, DNA_SHA)
    data, codes = data.copy(), np.zeros(3, np.uint8)
    data[row], codes[row] = np.nan, reason
    origin = Provenance("any", sha256, "", "", {}, 1, 0)
    ids = [IDS[i] for i in order]
    write_embeddings(shard / file, ids, data[list(order)], origin, codes[list(order)])


@pytest.mark.parametrize("takes_composition", [False, True])
def test_a_frame_without_a_vector_has_no_score_and_changes_no_other(shard, takes_composition):
    width = COMPOSITION_WIDTH if takes_composition else 0
    mlp(shard / "mlp", 8 + width, takes_composition=takes_composition)
    classify(shard)
    expected = (shard / "s.scores.tsv").read_text().splitlines()
    write_without(shard, "s.esm2.h5", 1, NOT_FINITE, order=(1, 2, 0))
    assert classify(shard) == 3
    expected[2] = f"{IDS[1]}\tnone\tnot_finite"
    assert (shard / "s.scores.tsv").read_text().splitlines() == expected
    write_without(shard, "s.dnabert_s.h5", 1, TOO_LONG_FOR_GPU)
    classify(shard)
    expected[2] = f"{IDS[1]}\tnone\ttoo_long_for_gpu"  # the DNA's reason, if both have one
    assert (shard / "s.scores.tsv").read_text().splitlines() == expected


def test_a_strict_run_refuses_a_frame_without_a_vector(shard, executables, monkeypatch, capsys):
    monkeypatch.chdir(shard)
    argv = ["--shard", "s", "--frames", "s.frames.faa", "s.frames.fna", "--classifier", "mlp"]
    argv += ["--dnabert-s", "s.dnabert_s.h5", "--esm2", "s.esm2.h5", "--strict"]
    assert executables["classify"](argv) == 0
    write_without(shard, "s.dnabert_s.h5", 2, NOT_FINITE)
    assert executables["classify"](argv[:-1]) == 0
    capsys.readouterr()
    assert executables["classify"](argv) == 2
    assert (
        f"error: frame {IDS[2]}: its vector is not finite, in float32 either (1 of the 3 frames of "
        "its shard have no vector). Omit its sequence, or run without --strict"
    ) in capsys.readouterr().err


@pytest.mark.parametrize("order", [[2, 0, 1], [1, 2, 0], [2, 1, 0]])
def test_embeddings_in_another_order_are_joined_by_id(shard, order):
    classify(shard)
    expected = (shard / "s.scores.tsv").read_bytes()
    write(shard / "s.esm2.h5", [IDS[i] for i in order], PROTEIN[order], PROTEIN_SHA)
    classify(shard)
    assert (shard / "s.scores.tsv").read_bytes() == expected
    write(shard / "s.dnabert_s.h5", [IDS[i] for i in order], DNA[order], DNA_SHA)
    classify(shard)
    assert (shard / "s.scores.tsv").read_bytes() == expected


@pytest.mark.parametrize(
    "rows, ids, words",
    [
        ([0, 1], IDS[:2], "1 without an embedding .b_chunk_1F2., 0 unknown .none"),
        ([0, 1, 2, 2], [*IDS, "x"], "0 without an embedding .none., 1 unknown .x"),
        ([0, 1, 2], [*IDS[:2], "b_chunk_1F3"],
         "1 without an embedding .b_chunk_1F2., 1 unknown .b_chunk_1F3"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("file", ["s.esm2.h5", "s.dnabert_s.h5"])
def test_other_frames_are_refused(shard, file, rows, ids, words):
    data, sha256 = (PROTEIN, PROTEIN_SHA) if "esm2" in file else (DNA, DNA_SHA)
    write(shard / file, ids, data[rows], sha256)
    with pytest.raises(InputError, match=f"{file}: holds other frames than s.frames.faa.*{words}"):
        classify(shard)
    assert not (shard / "s.scores.tsv").exists()


def test_embeddings_of_another_encoder_are_refused(shard):
    assert classify(shard, dna_sha=None, protein_sha=None) == 3
    with pytest.raises(InputError, match="s.esm2.h5: was made by the encoder eeeeeeeeeeee"):
        classify(shard, protein_sha="f" * 64)
    with pytest.raises(
        InputError, match="s.dnabert_s.h5: was made by .*model set has ffffffffffff"
    ):
        classify(shard, dna_sha="f" * 64)


def test_embeddings_of_another_tokenizer_are_refused(shard):
    with pytest.raises(
        InputError, match="was made by the tokenizer .none.…, the model set has 1111"
    ):
        classify(shard, tokenizer_sha="1" * 64)
    write(shard / "s.dnabert_s.h5", IDS, DNA, DNA_SHA, tokenizer="1" * 64)
    assert classify(shard, tokenizer_sha="1" * 64) == 3
    with pytest.raises(InputError, match="s.dnabert_s.h5: was made by the tokenizer 111111111111…"):
        classify(shard, tokenizer_sha="2" * 64)


def test_embeddings_of_two_versions_of_the_code_are_refused(shard):
    write(shard / "s.dnabert_s.h5", IDS, DNA, DNA_SHA, library="a" * 64)
    with pytest.raises(InputError, match="s.dnabert_s.h5: was made by the library aaaaaaaaaaaa"):
        classify(shard)
    write(shard / "s.esm2.h5", IDS, PROTEIN, PROTEIN_SHA, library="a" * 64)
    assert classify(shard) == 3


def test_two_devices_are_logged_and_accepted(shard, caplog):
    caplog.set_level("INFO")
    write(shard / "s.dnabert_s.h5", IDS, DNA, DNA_SHA, device="cpu", precision="fp32")
    write(shard / "s.esm2.h5", IDS, PROTEIN, PROTEIN_SHA, device="cuda", precision="fp32")
    assert classify(shard) == 3
    assert caplog.messages == ["s.dnabert_s.h5 and s.esm2.h5 differ in device: cpu, cuda"]


def test_a_missing_classifier_is_reported(shard):
    (shard / "mlp").unlink()
    with pytest.raises(InputError, match="mlp: cannot be read .No such file.*--weights_dir"):
        classify(shard, classifier_sha="0" * 64)


def test_widths_that_do_not_fit_are_refused(shard):
    write(shard / "s.esm2.h5", IDS, PROTEIN[:, :2], PROTEIN_SHA)
    with pytest.raises(InputError, match=r"mlp: takes 8 numbers a frame.*give 5 \+ 2"):
        classify(shard)


def test_a_replaced_classifier_is_refused(shard):
    digest = hashlib.sha256((shard / "mlp").read_bytes()).hexdigest()
    assert classify(shard, classifier_sha=digest) == 3
    with pytest.raises(InputError, match="mlp: sha256 is"):
        classify(shard, classifier_sha="0" * 64)


def arguments(*more):
    return ["--shard", "s", "--frames", "s.frames.faa", "s.frames.fna", "--dnabert-s", "s.dnabert_s.h5",
            "--esm2", "s.esm2.h5", "--classifier", "mlp", *more]  # fmt: skip


def test_the_executable(shard, executables, monkeypatch, capsys):
    monkeypatch.chdir(shard)
    classify(shard)
    expected = (shard / "s.scores.tsv").read_bytes()
    (shard / "s.scores.tsv").unlink()
    digest = hashlib.sha256((shard / "mlp").read_bytes()).hexdigest()
    write(shard / "s.dnabert_s.h5", IDS, DNA, DNA_SHA, tokenizer="1" * 64)
    right = {"--tokenizer-sha256": "1" * 64, "--dnabert-s-sha256": DNA_SHA, "--esm2-sha256": PROTEIN_SHA,
             "--classifier-sha256": digest}  # fmt: skip
    options = [text for pair in right.items() for text in pair]
    assert executables["classify"](arguments(*options)) == 0
    assert (shard / "s.scores.tsv").read_bytes() == expected
    for option in right:  # every one is looked at
        status = 2 if option == "--classifier-sha256" else 65
        assert executables["classify"](arguments(*options, option, "0" * 64)) == status
        assert "0000" in capsys.readouterr().err


def test_a_classifier_that_takes_composition_features_gets_those_of_the_frames(shard):
    mlp(shard / "mlp", 8 + COMPOSITION_WIDTH, takes_composition=True)
    classify(shard)
    composition = composition_features(["ATGAAAC"] * 3, ["MK"] * 3)
    expected = load_classifier(shard / "mlp").scores(DNA, PROTEIN, composition)
    rows = list(read_scores(shard / "s.scores.tsv"))
    assert [row.virus_text for row in rows] == [str(virus) for _, virus in expected]


def test_composition_features_of_other_frames_are_refused(shard):
    mlp(shard / "mlp", 8 + COMPOSITION_WIDTH, takes_composition=True)
    (shard / "s.frames.fna").write_text("".join(f">{name}\nATGAAAC\n" for name in IDS[::-1]))
    with pytest.raises(InputError, match="s.frames.fna and s.frames.faa hold different frames"):
        classify(shard)


def test_a_classifier_for_composition_features_of_another_width_is_refused(shard):
    mlp(shard / "mlp", 8 + COMPOSITION_WIDTH + 1, takes_composition=True)
    with pytest.raises(InputError, match=r"5 \+ 3, and composition features 785"):
        classify(shard)
