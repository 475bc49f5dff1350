"""Published files, converted: what comes out computes what the publishers' own code does."""

import json
import shutil

import numpy as np
import published
import pytest
import torch
from safetensors.torch import load_file, save_file
from test_dnabert_s import plain_forward, published_weights

from virnucpro.engine.embed import embed
from virnucpro.errors import InputError
from virnucpro.model_import.classifier_source import plan_classifier
from virnucpro.model_import.convert import convert_component
from virnucpro.model_import.dnabert_s_source import plan_dnabert_s
from virnucpro.model_import.esm2_source import PUBLISHED_HEADS, plan_esm2
from virnucpro.models import component
from virnucpro.models.tokenizers import BpeTokenizer, EsmTokenizer
from virnucpro.scoring.classifier import load_classifier

TOLERANCE = 1e-5  # float32 in another order; values are of the order of 1
CPU = torch.device("cpu")


def load(plan, folder, dtype=None):
    """Convert a plan, and load what was written as the pipeline does."""
    path = folder / "component.safetensors"
    sha256 = convert_component(path, plan, dtype or plan.dtype("auto"))
    return component.load_component(path, sha256, CPU)


def protein_vectors(model):
    return embed(model, EsmTokenizer(model.config.alphabet), published.PROTEINS, 512).vectors


# Widths and heads of 8M (whole), 35M, 150M, 650M and, by width, of none that is published
@pytest.mark.parametrize(
    "layers, width, heads", [(6, 320, 20), (2, 480, 20), (1, 640, 20), (1, 1280, 20), (2, 64, 2)]
)
def test_a_checkpoint_of_fair_esm_gives_its_vectors(tmp_path, layers, width, heads):
    oracle = published.fair_esm2(layers, width, heads)
    plan = plan_esm2(published.save_fair(oracle, tmp_path / "esm2_t6_8M_UR50D.pt"))
    assert (plan.config["layers"], plan.config["width"], plan.config["heads"]) == (
        layers,
        width,
        heads,
    )
    assert plan.notes == () and plan.dtype("auto") == "float32"
    ours = protein_vectors(load(plan, tmp_path))
    np.testing.assert_allclose(ours, published.fair_vectors(oracle), rtol=0, atol=TOLERANCE)


def test_fair_esm_itself_reads_the_checkpoints_of_these_tests(tmp_path):
    oracle = published.fair_esm2(2, 64, 4)
    path = published.save_fair(oracle, tmp_path / "esm2_small.pt")
    published.save_contact_regression(oracle, tmp_path / "esm2_small-contact-regression.pt")
    saved = torch.load(path, weights_only=False)
    saved["model"].update(torch.load(tmp_path / "esm2_small-contact-regression.pt")["model"])
    from esm.pretrained import load_model_and_alphabet_core

    model, _ = load_model_and_alphabet_core("esm2_small", saved, {"model": {}})
    assert torch.equal(model.layers[1].fc2.weight, oracle.layers[1].fc2.weight)


def test_the_contact_regression_beside_it_is_not_needed(tmp_path):
    oracle = published.fair_esm2(1, 32, 2)
    path = published.save_fair(oracle, tmp_path / "esm2_x.pt")
    regression = tmp_path / "esm2_x-contact-regression.pt"
    published.save_contact_regression(oracle, regression)
    assert plan_esm2(path).notes == (f"{regression.name} is not needed: no contacts are predicted",)
    with pytest.raises(
        InputError, match="is the contact regression only. Give esm2_x.pt beside it"
    ):
        plan_esm2(regression)


def test_a_half_precision_checkpoint_stays_one_with_its_rounded_rotations(tmp_path):
    oracle = published.fair_esm2(2, 96, 4)
    plan = plan_esm2(published.save_fair(oracle, tmp_path / "esm2.pt", half=True))
    assert plan.dtype("auto") == "float16" and plan.dtype("float32") == "float32"
    assert len(plan.notes) == 1 and "rotary frequencies are rounded" in plan.notes[0]
    kept = load(plan, tmp_path)
    widened = load(plan, tmp_path, "float32")
    assert protein_vectors(kept).tobytes() == protein_vectors(widened).tobytes()
    rounded = oracle.half().float()  # its frequencies too
    np.testing.assert_allclose(
        protein_vectors(kept), published.fair_vectors(rounded), rtol=0, atol=TOLERANCE
    )


@pytest.mark.parametrize("is_zip", [True, False])
def test_tensors_that_share_one_flat_storage_are_read(tmp_path, is_zip):
    oracle = published.fair_esm2(2, 32, 2)
    state = oracle.state_dict()
    flat = torch.cat([tensor.flatten() for tensor in state.values()])
    views = torch.split(flat, [tensor.numel() for tensor in state.values()])
    state = {n: v.view(t.shape) for (n, t), v in zip(state.items(), views, strict=True)}
    path = published.save_fair(oracle, tmp_path / "flat.pt", state=state, is_zip=is_zip)
    ours = protein_vectors(load(plan_esm2(path), tmp_path))
    np.testing.assert_allclose(ours, published.fair_vectors(oracle), rtol=0, atol=TOLERANCE)


def test_heads_come_from_the_published_sizes_where_the_file_does_not_say(tmp_path):
    oracle = published.fair_esm2(6, 320, 20)
    torch.save(oracle.state_dict(), tmp_path / "state.pt")
    assert plan_esm2(tmp_path / "state.pt").config["heads"] == 20
    torch.save(published.fair_esm2(2, 320, 20).state_dict(), tmp_path / "state.pt")
    with pytest.raises(InputError, match="2 layers of width 320 with an unknown number of heads"):
        plan_esm2(tmp_path / "state.pt")


def test_the_published_sizes_are_those_of_transformers_and_fair_esm():
    head_sizes = {width: width // heads for (_, width), heads in PUBLISHED_HEADS.items()}
    assert head_sizes == {320: 16, 480: 24, 640: 32, 1280: 64, 2560: 64, 5120: 128}


@pytest.mark.parametrize("kind", ["EsmModel", "EsmForMaskedLM"])
@pytest.mark.parametrize("form", ["safetensors", "sharded safetensors", "bin", "sharded bin"])
def test_a_hugging_face_folder_gives_its_vectors(tmp_path, kind, form):
    oracle = published.hugging_face_esm2(kind)
    plan = plan_esm2(published.save_hugging_face(oracle, tmp_path / "hf", form))
    names = [path.name for path in plan.files]
    assert len([n for n in names if "0000" in n]) >= (2 if "sharded" in form else 0)
    assert names[-2:] == ["config.json", "vocab.txt"] and form.split()[-1] in names[0]
    expected = published.hugging_face_vectors(oracle)
    np.testing.assert_allclose(
        protein_vectors(load(plan, tmp_path)), expected, rtol=0, atol=TOLERANCE
    )


@pytest.mark.parametrize(
    "change, words",
    [
        ({"position_embedding_type": "absolute"}, "position_embedding_type is 'absolute', expected 'rotary'"),
        ({"token_dropout": False}, "token_dropout is False, expected True"),
        ({"emb_layer_norm_before": True}, "emb_layer_norm_before is True"),
        ({"num_attention_heads": None}, "does not state model_type esm and num_attention_heads"),
        ({"model_type": "bert"}, "model_type is 'bert', expected 'esm'"),
        ({"num_attention_heads": 7}, "2 layers of width 48 with 7 heads is not ESM-2"),
        ({"layer_norm_eps": 1e-12}, "layer_norm_eps is 1e-12"),
    ],
)  # fmt: skip
def test_a_folder_of_another_model_is_refused(tmp_path, change, words):
    folder = published.save_hugging_face(
        published.hugging_face_esm2(), tmp_path / "hf", "safetensors"
    )
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(InputError, match=f"hf: .*{words}"):
        plan_esm2(folder)


def test_another_order_of_tokens_is_refused(tmp_path):
    folder = published.save_hugging_face(
        published.hugging_face_esm2(), tmp_path / "hf", "safetensors"
    )
    tokens = (folder / "vocab.txt").read_text().split()
    tokens[4], tokens[5] = tokens[5], tokens[4]
    (folder / "vocab.txt").write_text("\n".join(tokens))
    with pytest.raises(InputError, match="token 4 of vocab.txt is 'A', expected L"):
        plan_esm2(folder)


@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda f: (f / "model-00001-of-00005.safetensors").unlink(), "model-00001-of-00005.safetensors of it is missing"),
        (lambda f: (f / "config.json").unlink(), "has no config.json"),
        (lambda f: (f / "config.json").write_text("[" * 100_000), "is not readable JSON"),
        (lambda f: (f / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../x"}}'), "names '../x', which is not beside it"),
        (lambda f: (f / "model-00001-of-00005.safetensors").write_bytes(b"x" * 99), "not a readable safetensors file"),
        (lambda f: shutil.copy(f / "model-00001-of-00005.safetensors", f / "model-00002-of-00005.safetensors"), "which another shard has too"),
    ],
)  # fmt: skip
def test_an_incomplete_folder_is_refused(tmp_path, damage, words):
    folder = published.save_hugging_face(
        published.hugging_face_esm2(), tmp_path / "hf", "sharded safetensors"
    )
    damage(folder)
    with pytest.raises(InputError, match=words):
        plan_esm2(folder)


def rename(old, new):
    return lambda state: {name.replace(old, new): tensor for name, tensor in state.items()}


def without(part):
    return lambda state: {name: tensor for name, tensor in state.items() if part not in name}


def other_base(state):
    return {n: t * 0.5 if n.endswith("inv_freq") else t for n, t in state.items()}


@pytest.mark.parametrize(
    "change, words",
    [
        (rename("emb_layer_norm_after", "emb_layer_norm_before"), "is ESM-1, with learned positions"),
        (without("layers.1.fc1.bias"), r"layers.1.fc1.bias \(128,\) is missing"),
        (without("layers.0.self_attn.k_proj.weight"), r"layers.0.qkv.weight \(96, 32\) is missing"),
        (rename("layers.0.fc2.bias", "layers.0.surprise.bias"), r"surprise.bias \(32,\) is unexpected"),
        (without("layers.0"), "layer 0 is missing, but there is a layer 1"),
        (without("embed_tokens"), "is not ESM-2: it lacks a two-dimensional embed_tokens.weight"),
        (other_base, "rotary frequencies are 50% off"),
    ],
)  # fmt: skip
def test_another_checkpoint_is_refused(tmp_path, change, words):
    model = published.fair_esm2(2, 32, 2)
    path = published.save_fair(model, tmp_path / "esm2.pt", state=change(model.state_dict()))
    with pytest.raises(InputError, match=words):
        plan_esm2(path)


def test_a_config_json_beside_a_checkpoint_is_not_its_own(tmp_path):
    (tmp_path / "config.json").write_text("[]")
    path = published.save_fair(published.fair_esm2(1, 32, 2), tmp_path / "esm2.pt")
    assert plan_esm2(path).files == (path,)


def test_a_model_without_token_dropout_is_refused(tmp_path):
    model = published.fair_esm2(1, 32, 2)
    path = published.save_fair(model, tmp_path / "e.pt", token_dropout=False)
    with pytest.raises(InputError, match="without token dropout"):
        plan_esm2(path)


DNA = ["ACGT" * 30, "GATTACANNCCGGTATTAACG", "TTGACA" * 83]


@pytest.mark.parametrize("prefix", ["", "bert."])
@pytest.mark.parametrize("form", ["pytorch_model.bin", "model.safetensors"])
@pytest.mark.parametrize("give_file", [False, True])
def test_dnabert_s_gives_the_vectors_of_the_plain_definition(tmp_path, prefix, form, give_file):
    weights = published_weights(published.DNABERT_S)
    folder = published.save_dnabert_s(tmp_path / "D", weights, form, prefix)
    plan = plan_dnabert_s(folder / form if give_file else folder)
    model = load(plan, tmp_path)
    assert model.config == published.DNABERT_S
    tokenizer = BpeTokenizer(folder / "tokenizer.json")
    for sequence, vector in zip(DNA, embed(model, tokenizer, DNA, 512).vectors, strict=True):
        ids = torch.from_numpy(tokenizer.encode([sequence])[0]).long()[None]
        expected = plain_forward(weights, published.DNABERT_S, ids, torch.ones(ids.shape))[0].mean(
            0
        )
        np.testing.assert_allclose(vector, expected, rtol=0, atol=TOLERANCE)


def test_the_published_dnabert_s_needs_no_configuration_for_its_heads(tmp_path):
    config = published.dnabert_s.Config(12, 768, 12, 3072, 4096)
    with torch.device("meta"):
        shapes = published_weights(config)
    assert len(shapes) == 138
    weights = {name: torch.zeros(1).expand(t.shape) for name, t in shapes.items()}
    small = {n: torch.zeros(t.shape) for n, t in weights.items() if t.numel() < 1e5}
    torch.save(small, tmp_path / "small.bin")
    with pytest.raises(InputError, match="is not DNABERT-S: it lacks .*embeddings.word_embeddings"):
        plan_dnabert_s(tmp_path / "small.bin")
    torch.save({n: torch.zeros(t.shape) for n, t in weights.items()}, tmp_path / "whole.bin")
    assert plan_dnabert_s(tmp_path / "whole.bin").config["heads"] == 12


def test_dnabert_s_of_unknown_heads_is_refused(tmp_path):
    folder = published.save_dnabert_s(tmp_path / "D", published_weights(published.DNABERT_S))
    (folder / "config.json").unlink()
    with pytest.raises(InputError, match="width 96 with None heads is not DNABERT-S"):
        plan_dnabert_s(folder / "pytorch_model.bin")


@pytest.mark.parametrize(
    "shape, words",
    [
        ((), r"shape \(\) has no row 0"),
        ((0, 96), r"shape \(0, 96\) has no row 0"),
        ((2, 96, 1), r"token_type has shape \(96, 1\), expected \(96,\)"),
    ],
)
def test_token_types_of_another_shape_are_refused(tmp_path, shape, words):
    weights = published_weights(published.DNABERT_S)
    weights["embeddings.token_type_embeddings.weight"] = torch.zeros(shape)
    with pytest.raises(InputError, match=words):
        plan_dnabert_s(published.save_dnabert_s(tmp_path / "D", weights))


@pytest.fixture(scope="module")
def classifiers(tmp_path_factory):
    return published.save_classifiers(tmp_path_factory.mktemp("classifiers"), 96 + 32)


CLASSIFIER_FILES = ["module.pth", "module_legacy.pth", "state.pth", "state.safetensors"]


@pytest.mark.parametrize("name", CLASSIFIER_FILES)
def test_a_classifier_gives_the_scores_of_the_module(tmp_path, classifiers, name):
    plan = plan_classifier(classifiers / name)
    assert plan.width == 128
    sha256 = convert_component(tmp_path / "c.safetensors", plan, "float32")
    ours = load_classifier(tmp_path / "c.safetensors", sha256)
    expected = torch.load(classifiers / "expected.pt", weights_only=True)
    x = expected["x"].numpy()
    np.testing.assert_allclose(ours.scores(x[:, :96], x[:, 96:]), expected["scores"], atol=1e-6)


def test_a_file_that_is_no_classifier_is_refused(tmp_path, classifiers):
    state = load_file(classifiers / "state.safetensors")
    state["output_layer.bias"] = torch.zeros(3)
    save_file(state, tmp_path / "three.safetensors")
    with pytest.raises(InputError, match=r"output_layer.bias has shape \(3,\), expected \(2,\)"):
        plan_classifier(tmp_path / "three.safetensors")
    del state["bn1.weight"]
    save_file(state | {"more": torch.zeros(1)}, tmp_path / "f.safetensors")
    with pytest.raises(InputError, match="bn1.weight is missing\n  more is unexpected"):
        plan_classifier(tmp_path / "f.safetensors")


def test_a_batch_norm_that_we_would_not_compute_is_refused(tmp_path):
    published.save_classifiers(tmp_path, 8, batch_norm="nn.BatchNorm1d(hidden, eps=1e-3)")
    with pytest.raises(InputError, match="bn1 has eps 0.001, expected 1e-05"):
        plan_classifier(tmp_path / "module.pth")
