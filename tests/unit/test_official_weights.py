"""The official weights, where a folder has them, against what the original program computed.

VNP_OFFICIAL_MODELS names a folder with esm2_t36_3B_UR50D.pt, DNABERT-S/ and 500_model.pth. Needs
16 GB of memory and 15 GB of space in pytest's temporary folder; two minutes on two cores.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from virnucpro.engine.embed import embed
from virnucpro.model_import.build import BuildRequest, build
from virnucpro.model_sets.description import read_model_set
from virnucpro.models.component import load_component
from virnucpro.models.tokenizers import BpeTokenizer, EsmTokenizer
from virnucpro.scoring.classifier import load_classifier
from virnucpro.sequences.frames_file import read_frames

GOLDEN = Path(__file__).parents[1] / "data/golden"
SETS = {"test_with_orfs": "with_orfs", "test_fixed_500bp": "fixed_500bp"}  # prefix of its arrays
FOLDER = os.environ.get("VNP_OFFICIAL_MODELS")
# The original adds in float32 in another order; labels and printed scores bear more than this.
MIN_COSINE, MAX_SCORE_DIFFERENCE = 1 - 1e-7, 1e-5
TOKEN_BUDGET = 512

pytestmark = pytest.mark.skipif(
    not FOLDER, reason="VNP_OFFICIAL_MODELS does not name a folder with the official weights"
)


@pytest.fixture(scope="module")
def model_set(tmp_path_factory):
    folder = tmp_path_factory.mktemp("official")
    request = BuildRequest(
        folder=folder / "virnucpro-500",
        esm2=Path(FOLDER) / "esm2_t36_3B_UR50D.pt",
        dnabert_s=Path(FOLDER) / "DNABERT-S",
        classifier=Path(FOLDER) / "500_model.pth",
    )
    build(request)
    return read_model_set(request.folder)


@pytest.fixture(scope="module")
def vectors(model_set):
    """Return (set, role) -> float32 [4, d]; one encoder in memory at a time."""
    vectors_of = {}
    for role, kind in (("dnabert_s", "nucleotide.fa"), ("esm2", "protein.faa")):
        entry = model_set.component(role)
        model = load_component(entry.path, entry.sha256, torch.device("cpu"))
        if role == "esm2":
            tokenizer = EsmTokenizer(model.config.alphabet)
        else:
            tokenizer = BpeTokenizer(model_set.component("tokenizer").path)
        for name in SETS:
            _, frames = read_frames(GOLDEN / f"{name}_identified_{kind}")
            vectors_of[name, role] = embed(
                model, tokenizer, frames, TOKEN_BUDGET, threads=torch.get_num_threads()
            ).vectors
    return vectors_of


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "embeddings_and_scores.npz") as file:
        return dict(file)


@pytest.mark.parametrize("role, array", [("dnabert_s", "dnabert_s"), ("esm2", "esm2_3b")])
@pytest.mark.parametrize("name", SETS)
def test_vectors_are_the_originals(vectors, golden, name, role, array):
    ours = vectors[name, role].astype(np.float64)
    theirs = golden[f"{SETS[name]}_{array}"].astype(np.float64)
    norms = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    assert ((ours * theirs).sum(axis=1) / norms).min() >= MIN_COSINE


@pytest.mark.parametrize("name", SETS)
def test_scores_are_the_originals(model_set, vectors, golden, name):
    entry = model_set.component("classifier")
    classifier = load_classifier(entry.path, entry.sha256)
    scores = classifier.scores(vectors[name, "dnabert_s"], vectors[name, "esm2"])
    difference = np.abs(scores - golden[f"{SETS[name]}_score_others_virus"])
    assert difference.max() <= MAX_SCORE_DIFFERENCE
    assert entry.entry["source"]["known_as"] == "Li-Jing-1997/VirNucPro 500_model.pth"
