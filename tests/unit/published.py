"""Files as they are published, made by the publishers' own code, with random weights."""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import esm
import numpy as np
import torch
import transformers
from esm.model.esm2 import ESM2
from safetensors.torch import save_file

from virnucpro.models import dnabert_s, esm2

ROOT = Path(__file__).parents[2]
TOKENIZER = ROOT / "models/compact-500/tokenizer.json"
PROTEINS = ["MKV", "MAKRLEDPFGNYTWQHSVICXBUZ", "LAGV" * 41 + "SE", "DYTG" * 30]
CLASSIFIER_PROGRAM = """
import sys, torch
from torch import nn

class MLPClassifier(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.hidden_layer = nn.Linear(width, hidden)
        self.bn1 = nn.BatchNorm1d(hidden)
        self.output_layer = nn.Linear(hidden, 2)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x):
        return self.output_layer(self.dropout(torch.relu(self.bn1(self.hidden_layer(x)))))

torch.manual_seed(4)
width, out = int(sys.argv[1]), sys.argv[2]
model = MLPClassifier(width, 16)
for _ in range(3):
    model(torch.randn(32, width))  # so that the statistics of the batch norm are not 0 and 1
model.eval()
torch.save(model, out + "/module.pth")
torch.save(model, out + "/module_legacy.pth", _use_new_zipfile_serialization=False)
torch.save(model.state_dict(), out + "/state.pth")
x = torch.linspace(-1, 1, 5 * width).reshape(5, width)
torch.save({"x": x, "scores": torch.softmax(model(x), 1).detach()}, out + "/expected.pt")
"""


def fair_esm2(layers, width, heads):
    torch.manual_seed(layers * width)
    model = ESM2(layers, width, heads, esm.Alphabet.from_architecture("ESM-1b")).eval()
    for parameter in model.parameters():  # so that no bias or gain is 0 or 1
        parameter.data += 0.02 * torch.randn_like(parameter)
    return model


def fair_settings(model, **changes):
    settings = {
        "arch": "roberta_large",
        "encoder_layers": model.num_layers,
        "encoder_embed_dim": model.embed_dim,
        "encoder_ffn_embed_dim": 4 * model.embed_dim,
        "encoder_attention_heads": model.attention_heads,
        "token_dropout": True,
        "dropout": 0.1,
        "no_seed_provided": False,
        "max_positions": 1024,
    }
    return argparse.Namespace(**(settings | changes))


def save_fair(model, path, *, half=False, state=None, is_zip=True, **changes):
    """Write what fair-esm's load_model_and_alphabet_local reads, names as in its files."""
    state = model.state_dict() if state is None else state
    state = {n: t for n, t in state.items() if not n.startswith("contact_head")}
    if half:
        state = {name: tensor.half() for name, tensor in state.items()}
    names = {n: f"encoder.{'' if 'lm_head' in n else 'sentence_encoder.'}{n}" for n in state}
    value = {
        "cfg": {"model": fair_settings(model, **changes), "task": {"seed": 1}},
        "model": {names[name]: tensor for name, tensor in state.items()},
    }
    torch.save(value, path, _use_new_zipfile_serialization=is_zip)
    return path


def save_contact_regression(model, path):
    torch.save(
        {
            "model": dict(
                model.contact_head.regression.state_dict(prefix="contact_head.regression.")
            )
        },
        path,
    )


def fair_vectors(model, proteins=PROTEINS):
    """Pooled vectors of fair-esm, as the original program takes them."""
    vectors = []
    for protein in proteins:
        _, _, tokens = model.alphabet.get_batch_converter()([("", protein)])
        with torch.no_grad():
            hidden = model(tokens, repr_layers=[model.num_layers])
        hidden = hidden["representations"][model.num_layers][0]
        vectors.append(hidden[1 : len(protein) + 1].mean(0).numpy())
    return np.stack(vectors)


def hugging_face_esm2(kind="EsmModel", **changes):
    """A model of transformers."""
    torch.manual_seed(3)
    sizes = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = transformers.EsmConfig(
        vocab_size=33,
        mask_token_id=32,
        pad_token_id=1,
        **(sizes | {"intermediate_size": 4 * changes.get("hidden_size", 48)}),
        position_embedding_type="rotary",
        token_dropout=True,
        emb_layer_norm_before=False,
        layer_norm_eps=1e-5,
        attn_implementation="eager",
    )
    model = getattr(transformers, kind)(config).eval()
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return model


def save_hugging_face(model, folder, form):
    """Write a folder as transformers does: safetensors, or .bin as version 4 did; sharded or not."""
    if "safetensors" in form:
        model.save_pretrained(folder, max_shard_size="60KB" if "sharded" in form else "5GB")
    else:
        folder.mkdir()
        model.config.save_pretrained(folder)
        state = model.state_dict()
        names = list(state)
        if "sharded" in form:
            files = ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"]
            place = {name: files[index * 2 // len(names)] for index, name in enumerate(names)}
            for file in files:
                torch.save({n: state[n] for n in names if place[n] == file}, folder / file)
            index = {"metadata": {"total_size": 1}, "weight_map": place}
            (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
        else:
            torch.save(state, folder / "pytorch_model.bin")
    (folder / "vocab.txt").write_text("\n".join(esm2.ALPHABET))
    return folder


def hugging_face_vectors(model, proteins=PROTEINS):
    base = getattr(model, "esm", model)
    vectors = []
    for protein in proteins:
        ids = [0, *(esm2.ALPHABET.index(letter) for letter in protein), 2]
        with torch.no_grad():
            hidden = base(torch.tensor([ids])).last_hidden_state[0]
        vectors.append(hidden[1:-1].mean(0).numpy())
    return np.stack(vectors)


DNABERT_S = dnabert_s.Config(layers=2, width=96, heads=12, intermediate=128, vocab_size=4096)


def save_dnabert_s(folder, weights, form="pytorch_model.bin", prefix=""):
    """Write a folder of DNABERT-S with its tokenizer and configuration."""
    folder.mkdir()
    state = {prefix + name: tensor for name, tensor in weights.items()}
    if form == "model.safetensors":
        save_file(state, folder / form)
    else:
        torch.save(state, folder / form)
    config = {"hidden_size": 96, "num_attention_heads": 12, "layer_norm_eps": 1e-12}
    (folder / "config.json").write_text(json.dumps(config))
    shutil.copy(TOKENIZER, folder / "tokenizer.json")
    return folder


def save_classifiers(folder, width, batch_norm="nn.BatchNorm1d(hidden)"):
    """Write module.pth, module_legacy.pth, state.pth and expected.pt, from a script's __main__."""
    program = CLASSIFIER_PROGRAM.replace("nn.BatchNorm1d(hidden)", batch_norm)
    command = [sys.executable, "-W", "ignore", "-c", program, str(width), str(folder)]
    subprocess.run(command, check=True)
    state = torch.load(folder / "state.pth", weights_only=True)
    save_file(state, folder / "state.safetensors")
    return folder
