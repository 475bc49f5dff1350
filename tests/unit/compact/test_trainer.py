"""Training of a network: what is drawn, what is learnt, and runs that were cut off."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from compact_data import CPU, TINY

from virnucpro.compact.frame_pool import window_scores
from virnucpro.compact.network import logits
from virnucpro.compact.trainer import Trainer, corrupted, draw_bags, lr_factor
from virnucpro.training.measures import auroc


def test_corruption_exchanges_about_the_share_and_no_edges():
    torch.manual_seed(0)
    ids = torch.randint(4, 1000, (200, 50))
    ids[:, 0], ids[:, -1] = 1, 2
    changed = corrupted(ids.flatten(), 0.2).view(200, 50)
    assert (changed[:, 0] == 1).all() and (changed[:, -1] == 2).all()
    assert not ((changed[:, 1:-1] == 1) | (changed[:, 1:-1] == 2)).any()
    assert 0.15 < (changed != ids)[:, 1:-1].float().mean() < 0.25
    assert torch.equal(corrupted(ids.flatten(), 0.0), ids.flatten())


def test_the_learning_rate_rises_then_falls_to_zero():
    recipe = replace(TINY, steps=30, warmup_steps=10)
    assert [lr_factor(s, recipe) for s in (0, 9, 10, 20)] == pytest.approx([0.1, 1, 1, 0.5])
    assert lr_factor(30, recipe) == pytest.approx(0)


def test_training_learns(train, val):
    recipe = replace(TINY, steps=40, windows_per_step=16, peak_lr=1e-2, ema_decay=0.5)
    trainer = Trainer(recipe, train, val, 3, CPU)
    trainer.run()
    scores = window_scores(val.frames, logits(trainer.network, val))
    assert auroc(val.frames.windows.labels, scores) > 0.95  # the kinds share no codon


def test_a_fraction_of_the_members_learns_from_a_group():
    groups = [f"G{n % 50}" for n in range(200)]
    bags = draw_bags(groups, members=6, fraction=2 / 3, seed=1)
    assert bags.shape == (200, 6) and set(bags.sum(1)) == {4}
    assert (bags[:50] == bags[50:100]).all()  # the same group, the same members
    assert (bags[:50].sum(0) > 24).all() and (bags[:50].sum(0) < 43).all()
    assert not (bags == draw_bags(groups, 6, 2 / 3, 2)).all()


def test_members_learn_from_their_groups_alone(train, val):
    """Teach one half of the members nothing: their weights do not move, the others' do."""
    trainer = Trainer(
        replace(TINY, members=2, embedding_members=0, weight_decay=0), train, val, 3, CPU
    )
    trainer._bags[:, 1] = 0
    before = trainer.network.head.output_weight.detach().clone()
    trainer.run()
    moved = (trainer.network.head.output_weight != before).any(1)
    assert moved.tolist() == [True, False]


def test_equal_seeds_give_equal_networks(train, val):
    runs = []
    for seed in (3, 3, 4):
        trainer = Trainer(TINY, train, val, seed, CPU)
        trainer.run()
        runs.append(trainer.network.state_dict())
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[0])
    assert not torch.equal(runs[0]["esm2.layers.0.qkv.weight"], runs[2]["esm2.layers.0.qkv.weight"])


def test_a_run_that_was_cut_off_goes_on_as_if_it_had_not(tmp_path, train, val):
    recipe = replace(TINY, steps=4)
    whole = Trainer(recipe, train, val, 3, CPU)
    whole.run()
    cut = Trainer(recipe, train, val, 3, CPU, tmp_path / "checkpoint")
    steps = cut._windows_of
    cut._windows_of = lambda step: steps(step) if step < 3 else pytest.fail("cut off")
    with pytest.raises(pytest.fail.Exception):
        cut.run()
    again = Trainer(recipe, train, val, 3, CPU, tmp_path / "checkpoint")
    again.run()
    state = again.network.state_dict()
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(state[name], tensor), name


def test_a_teacher_changes_what_is_learnt(train, val):
    networks = []
    for teacher in (None, np.full(len(train), 0.5, np.float32)):
        trainer = Trainer(TINY, train, val, 3, CPU, teacher=teacher)
        trainer.run()
        networks.append(trainer.network.state_dict()["head.output_weight"])
    assert not torch.equal(*networks)
