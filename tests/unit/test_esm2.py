"""ESM-2 against two independent implementations with the same random weights."""

import esm
import numpy as np
import pytest
import torch
import transformers
from esm.model.esm2 import ESM2 as FairEsm2

from virnucpro.engine.embed import embed
from virnucpro.models import esm2
from virnucpro.models.tokenizers import EsmTokenizer

LETTERS = np.array(list("ACDEFGHIKLMNPQRSTVWY"))
SIZES = [(2, 64, 4), (3, 192, 12), (2, 320, 20)]
# Both sides add in float32 in another order; values are of the order of 1.
TOLERANCE = 1e-5


@pytest.fixture(params=SIZES, ids=str)
def oracle(request):
    layers, width, heads = request.param
    torch.manual_seed(layers * width)
    model = FairEsm2(layers, width, heads, esm.Alphabet.from_architecture("ESM-1b")).eval()
    for parameter in model.parameters():  # so that no bias or gain is 0 or 1
        parameter.data += 0.02 * torch.randn_like(parameter)
    return model


def our_state(oracle):
    return {n: torch.cat(t) for n, t in esm2.from_published(oracle.state_dict()).items()}


@pytest.fixture
def model(oracle):
    config = esm2.Config(oracle.num_layers, oracle.embed_dim, oracle.attention_heads)
    ours = esm2.ESM2(config).eval()
    ours.load_state_dict(our_state(oracle))
    return ours


def proteins(lengths):
    rng = np.random.default_rng(7)
    return ["".join(rng.choice(LETTERS, length)) for length in lengths]


SEQUENCES = [*proteins([1, 2, 30, 99, 100, 166, 166, 166, 57, 300]), "MXBUZ-"]


def vectors(model, sequences=SEQUENCES):
    return embed(model, EsmTokenizer(esm2.ALPHABET), sequences, token_budget=512).vectors


def fair_hidden(oracle, sequence):
    convert = oracle.alphabet.get_batch_converter()
    _, _, tokens = convert([("", sequence)])
    with torch.no_grad():
        return oracle(tokens, repr_layers=[oracle.num_layers])["representations"][
            oracle.num_layers
        ][0]


def test_pooled_vectors_are_those_of_fair_esm(oracle, model):
    for sequence, vector in zip(SEQUENCES, vectors(model), strict=True):
        hidden = fair_hidden(oracle, sequence)
        expected = hidden[1 : min(1024, len(sequence)) + 1].mean(0).numpy()
        np.testing.assert_allclose(vector, expected, rtol=0, atol=TOLERANCE)


def test_pooled_vectors_are_those_of_transformers(oracle, model):
    config = transformers.EsmConfig(
        vocab_size=len(esm2.ALPHABET),
        mask_token_id=esm2.ALPHABET.index("<mask>"),
        pad_token_id=esm2.ALPHABET.index("<pad>"),
        hidden_size=oracle.embed_dim,
        num_hidden_layers=oracle.num_layers,
        num_attention_heads=oracle.attention_heads,
        intermediate_size=4 * oracle.embed_dim,
        layer_norm_eps=1e-5,
        position_embedding_type="rotary",
        token_dropout=True,
        emb_layer_norm_before=False,
        attn_implementation="eager",
    )
    names = {
        "embed_tokens": "embeddings.word_embeddings",
        "emb_layer_norm_after": "encoder.emb_layer_norm_after",
        "self_attn_layer_norm": "attention.LayerNorm",
        "self_attn.q_proj": "attention.self.query",
        "self_attn.k_proj": "attention.self.key",
        "self_attn.v_proj": "attention.self.value",
        "self_attn.out_proj": "attention.output.dense",
        "final_layer_norm": "LayerNorm",
        "fc1": "intermediate.dense",
        "fc2": "output.dense",
    }
    state = {}
    for name, tensor in oracle.state_dict().items():
        module, _, kind = name.rpartition(".")
        prefix = ""
        if module.startswith("layers."):
            _, number, module = module.split(".", 2)
            prefix = f"encoder.layer.{number}."
        if module in names:
            state[f"{prefix}{names[module]}.{kind}"] = tensor
    theirs = transformers.EsmModel(config, add_pooling_layer=False).eval()
    missing, unexpected = theirs.load_state_dict(state, strict=False)
    assert not unexpected
    assert not [m for m in missing if m.endswith((".weight", ".bias")) and "contact_head" not in m]
    tokenizer = EsmTokenizer(esm2.ALPHABET)
    for sequence, vector in zip(SEQUENCES, vectors(model), strict=True):
        ids = torch.from_numpy(tokenizer.encode([sequence])[0]).long()[None]
        with torch.no_grad():
            hidden = theirs(ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0]
        np.testing.assert_allclose(vector, hidden[1:-1].mean(0), rtol=0, atol=TOLERANCE)


def test_no_more_than_1024_residues_are_averaged():
    torch.manual_seed(1)
    oracle = FairEsm2(1, 32, 4, esm.Alphabet.from_architecture("ESM-1b")).eval()
    ours = esm2.ESM2(esm2.Config(1, 32, 4)).eval()
    ours.load_state_dict(our_state(oracle))
    (sequence,) = proteins([1100])
    hidden = fair_hidden(oracle, sequence)
    assert (hidden[1:1025].mean(0) - hidden[1:1101].mean(0)).abs().max() > 1e-3
    np.testing.assert_allclose(
        vectors(ours, [sequence])[0], hidden[1:1025].mean(0), rtol=0, atol=TOLERANCE
    )


def test_checkpoint_prefixes_of_fair_esm_are_understood(oracle):
    state = oracle.state_dict()
    prefixed = {f"encoder.sentence_encoder.{name}": tensor for name, tensor in state.items()}
    assert esm2.from_published(prefixed).keys() == esm2.from_published(state).keys()


def test_an_unknown_published_name_is_not_swallowed():
    state = {
        "layers.0.surprise.weight": torch.zeros(1),
        "layers.0.self_attn.q_proj.bias": torch.zeros(1),
    }
    assert list(esm2.from_published(state)) == ["layers.0.surprise.weight"]
