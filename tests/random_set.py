"""A tiny model set of random weights."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import torch

from virnucpro.models import component, dnabert_s, esm2
from virnucpro.scoring.classifier import save_classifier

TOKENIZER = Path(__file__).parents[1] / "models" / "compact-500" / "tokenizer.json"


def write_model_set(folder: Path, seed: int = 1, chunk_bp: tuple[int, ...] = (500, 300)) -> Path:
    """Write a model set of tiny random components."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    component.write_component(folder / "esm2.safetensors", esm2.ESM2(esm2.Config(2, 64, 4)))
    component.write_component(
        folder / "dnabert_s.safetensors",
        dnabert_s.DnabertS(dnabert_s.Config(1, 64, 4, 128, 4096)),
    )
    write_classifier(folder / "classifier.safetensors", seed)
    shutil.copy(TOKENIZER, folder)
    files = {
        "dnabert_s": ("dnabert_s.safetensors", {"width": 64}),
        "tokenizer": ("tokenizer.json", {}),
        "esm2": ("esm2.safetensors", {"width": 64}),
        "classifier": ("classifier.safetensors", {"input_width": 128}),
    }
    description = {
        "format": 1,
        "name": "random",
        "version": str(seed),
        "chunk_bp": list(chunk_bp),
        "frame_rule": "open",
        "components": {
            name: {"file": file, "sha256": sha256(folder / file), **more}
            for name, (file, more) in files.items()
        },
    }
    (folder / "modelset.json").write_text(json.dumps(description, indent=2))
    return folder


def write_classifier(path: Path, seed: int) -> None:
    """Write a random classifier whose scores lie on both sides."""
    rng = np.random.default_rng(seed)
    save_classifier(
        path,
        {
            "hidden_layer.weight": rng.normal(size=(32, 128)).astype(np.float32),
            "hidden_layer.bias": np.zeros(32, np.float32),
            "bn1.weight": np.ones(32, np.float32),
            "bn1.bias": np.zeros(32, np.float32),
            "bn1.running_mean": np.zeros(32, np.float32),
            "bn1.running_var": np.ones(32, np.float32),
            "output_layer.weight": rng.normal(size=(2, 32)).astype(np.float32),
            "output_layer.bias": np.zeros(2, np.float32),
        },
    )


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
