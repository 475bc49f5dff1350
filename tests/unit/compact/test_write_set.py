"""The set that is written, and what its files give."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from compact_data import CPU, PROJECT, TINY, TOKENIZER, WINDOW_BP

from virnucpro.compact.card import compact_card
from virnucpro.compact.network import logits
from virnucpro.compact.stored_set import load_set, scored_windows
from virnucpro.compact.trainer import Trainer
from virnucpro.compact.write_set import write_set
from virnucpro.model_sets.description import read_model_set
from virnucpro.models.component import load_component
from virnucpro.scoring.classifier import load_classifier
from virnucpro.scoring.composition_features import COMPOSITION_WIDTH
from virnucpro.training.evaluation import call_chunks
from virnucpro.training.measures import auroc


def run():
    data = {"sequences": 2, "bp": 10, "kinds": {"phage": 10}, "licences": {"MIT": 10}}
    known = dict.fromkeys(["command", "device", "seed", "torch"], "x")
    both = {"all": 0.5, "field": 0.5}
    return known | {
        "members": 3, "embedding_members": 1, "bagging_fraction": 2 / 3, "teacher": None, "window_shares": (0.4, 1),
        "data": {"train": data, "val": data}, "baselines": {"linear": both, "5-mers": both, "rows": 9},
    }  # fmt: skip


def test_a_written_set_is_loaded_and_scores_as_it_says(tmp_path, train, val):
    recipe = replace(TINY, steps=30, windows_per_step=16, peak_lr=1e-2, ema_decay=0.5)
    trainer = Trainer(recipe, train, val, 3, CPU)
    trainer.run()
    folder = tmp_path / "compact-90"
    validation = {WINDOW_BP: val.frames}
    refitted = Trainer(recipe, train, None, 4, CPU)
    refitted.run()
    measured = write_set(
        folder, WINDOW_BP, trainer.network, refitted.network, TOKENIZER, validation, run()
    )
    assert [path.name for path in tmp_path.iterdir()] == ["compact-90"]
    model_set = read_model_set(folder)
    described = json.loads((folder / "modelset.json").read_text())
    assert described["name"] == "compact-90" and described["chunk_bp"] == [WINDOW_BP]
    assert described["frame_rule"] == {"rule": "longest_open", "min_residues": 20}
    assert described["measured"] == json.loads(json.dumps(measured))
    assert [(c["chunk_bp"], c["frame_rule"]) for c in described["calibration"]] == [
        (WINDOW_BP, "open"),
        (WINDOW_BP, "longest_open"),
    ]
    own = measured["by_length"][str(WINDOW_BP)]["longest_open"]
    assert f"| this set | {own['auroc_every_chunk']:.3f} |" in (folder / "README.md").read_text()

    for name in ("dnabert_s", "esm2"):
        part = model_set.component(name)
        half = load_component(part.path, part.sha256, CPU, torch.float16).state_dict()
        trained = getattr(refitted.network, name).state_dict()
        assert all(torch.equal(half[key], trained[key].half()) for key in trained)
    part = model_set.component("classifier")
    classifier = load_classifier(part.path, part.sha256)
    assert classifier.takes_composition and classifier.input_width == 32 + COMPOSITION_WIDTH

    # the numpy classifier on stored encoders is the network that was trained, but for rounding
    scores = load_set(model_set, CPU).scores(val.frames)
    expected = 1 / (1 + np.exp(-logits(refitted.network, val)))
    np.testing.assert_allclose(scores[:, 1], expected, atol=5e-3)
    # but its figures are of the one that has not seen what it is measured on
    unseen = 1 / (1 + np.exp(-logits(trainer.network, val)))
    scored = scored_windows(val.frames, np.stack([1 - unseen, unseen], 1), "longest_open")
    delta = [chunk.delta or 0.0 for chunk in call_chunks(scored, None)]
    assert own["auroc_every_chunk"] == pytest.approx(
        auroc(val.frames.windows.labels, np.array(delta)), abs=0.01
    )


def test_under_the_open_rule_partial_frames_are_not_called(val):
    frames = val.frames
    closed = replace(frames, is_open=np.zeros_like(frames.is_open))
    scores = np.full((len(val), 2), 0.5, np.float32)
    assert not any(chunk.scores for chunk in scored_windows(closed, scores, "open"))
    scored = scored_windows(closed, scores, "longest_open")
    assert sum(bool(chunk.scores) for chunk in scored) == len(np.unique(frames.window))
    assert {chunk.row.is_partial for chunk in scored if chunk.scores} == {True}


@pytest.mark.parametrize("name", ["compact-300", "compact-500"])
def test_the_card_of_a_bundled_set_is_that_of_its_description(name):
    folder = PROJECT / "models" / name
    description = json.loads((folder / "modelset.json").read_text())
    assert (folder / "README.md").read_text() == compact_card(description)
