"""Calibrations fitted to synthetic scores whose true probability is known."""

import dataclasses
import hashlib
import json

import numpy as np
import pytest

from virnucpro.consensus.calibration_file import load_calibration
from virnucpro.consensus.calibrator import Calibrator, Isotonic, MadeFor, Temperature
from virnucpro.errors import InputError
from virnucpro.training import fit_calibration as making
from virnucpro.training.fit_calibration import (
    ScoredSequences,
    fdr_table,
    fit,
    fit_curve,
    held_out_p_virus,
    p_virus,
    rates,
    reliability,
)
from virnucpro.training.set_folder import write_calibration

METHODS = ["temperature", "isotonic"]


def scored_sequences(delta, labels, num_chunks=None, groups=None):
    """By default of one chunk each, and each a group of its own."""
    ones, numbers = np.ones(len(delta), np.int64), np.arange(len(delta))
    return ScoredSequences(
        delta,
        labels,
        ones if num_chunks is None else num_chunks,
        numbers if groups is None else groups,
    )


def synthetic(count, seed=0, temperature=3.0, bias=0.4, num_chunks=None):
    """Draw labels by p, then scores whose log-odds are off by a known temperature and bias."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    # Gaussian log-odds of equal spread: logistic regression is then exact
    log_odds = rng.normal(np.where(labels == 1, 1.5, -1.5), np.sqrt(3.0))
    x = temperature * (log_odds - bias)
    return scored_sequences(np.tanh(x / 2), labels, num_chunks)


def raw_error(sequences):
    return reliability((sequences.delta + 1) / 2, sequences.labels)[1]


def test_a_known_temperature_and_bias_are_found():
    curve = fit_curve(synthetic(40_000), "temperature")
    assert curve.temperature == pytest.approx(3.0, rel=0.05)
    assert curve.bias == pytest.approx(0.4, abs=0.05)


@pytest.mark.parametrize("method", METHODS)
def test_the_calibration_error_falls_on_sequences_not_fitted_to(method):
    fitted, fresh = synthetic(20_000, seed=1), synthetic(20_000, seed=2)
    assert raw_error(fresh) > 0.08
    assert reliability(p_virus(fit(fitted, method), fresh), fresh.labels)[1] < 0.02
    # so does the figure that the calibration states of itself
    (own,) = fit(fitted, method).measured["bins"]
    assert own["ece_raw"] == pytest.approx(raw_error(fitted)) and own["ece_held_out"] < 0.02


def test_isotonic_corrects_what_a_temperature_cannot():
    rng = np.random.default_rng(3)
    p = rng.choice([0.05, 0.4, 0.6, 0.95], 20_000)
    delta = np.select([p == 0.05, p == 0.4, p == 0.6], [-0.1, 0.8, 0.85], 0.9)
    labels = (rng.random(20_000) < p).astype(int)
    sequences = scored_sequences(delta, labels)
    errors = {m: reliability(p_virus(fit(sequences, m), sequences), labels)[1] for m in METHODS}
    assert errors["isotonic"] < 0.01 < errors["temperature"]


def test_isotonic_steps_worked_out_by_hand():
    # 0.1: 0 of 2; 0.2 and 0.3: viral, then not: pooled 1 of 2; 0.5: 1 of 1. Kinds are 2 and 3.
    sequences = scored_sequences(np.array([0.1, 0.1, 0.2, 0.3, 0.5]), np.array([0, 0, 1, 0, 1]))
    curve = fit_curve(sequences, "isotonic")
    viral, other = 5 / 4, 5 / 6  # weights
    assert curve == Isotonic(
        (pytest.approx(0.1), pytest.approx((0.2 * viral + 0.3 * other) / (viral + other)), 0.5),
        (0.25, pytest.approx(viral / (viral + other)), 0.75),  # 0 and 1 kept off by 1 / (2 + 2)
    )


@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_sequences_is_kept_and_their_numbers_do_not_matter(method):
    sequences = synthetic(4000, seed=4)
    curve = fit_curve(sequences, method)
    odds = [curve.log_odds(d) for d in np.linspace(-1, 1, 301)]
    assert odds == sorted(odds)
    # ten times as many non-viral ones, of the same scores: the same curve but for Platt's targets
    viral = sequences.labels == 1
    more = np.concatenate((np.flatnonzero(viral), np.tile(np.flatnonzero(~viral), 10)))
    again = fit_curve(scored_sequences(sequences.delta[more], sequences.labels[more]), method)
    assert [again.log_odds(d) for d in (-0.9, 0, 0.9)] == pytest.approx(
        [curve.log_odds(d) for d in (-0.9, 0, 0.9)], abs=0.01
    )


def test_kinds_without_overlap_have_a_finite_temperature():
    delta = np.concatenate((np.linspace(-0.9, -0.1, 100), np.linspace(0.1, 0.9, 100)))
    curve = fit_curve(scored_sequences(delta, np.repeat([0, 1], 100)), "temperature")
    assert isinstance(curve, Temperature) and 0.01 < curve.temperature < 1


def test_scores_that_fall_with_the_label_are_refused():
    sequences = synthetic(400)
    with pytest.raises(InputError, match="are not above the others'. Check the labels"):
        fit(scored_sequences(-sequences.delta, sequences.labels))


def test_bins_of_chunks_have_their_own_curves():
    parts = [synthetic(2000, seed=n, temperature=t) for n, t in enumerate((1.5, 2.2, 3.3))]
    num_chunks = np.concatenate([np.repeat(n, 1000) for n in (1, 1, 2, 4, 5, 60)])
    sequences = scored_sequences(
        np.concatenate([p.delta for p in parts]),
        np.concatenate([p.labels for p in parts]),
        num_chunks,
    )
    found = fit(sequences)
    assert [b.min_chunks for b in found.bins] == [1, 2, 5]
    assert [b.curve.temperature for b in found.bins] == pytest.approx([1.5, 2.2, 3.3], rel=0.15)
    assert found.bin_of(1) is found.bins[0] and found.bin_of(4) is found.bins[1]
    assert found.bin_of(5) is found.bins[2] and found.bin_of(1000) is found.bins[2]


def test_a_bin_with_few_sequences_joins_the_one_below():
    one, few = synthetic(2000), synthetic(98, seed=1)
    delta, labels = (np.concatenate(pair) for pair in
                     ((one.delta, few.delta), (one.labels, few.labels)))  # fmt: skip
    num_chunks = np.repeat([1, 3], [2000, 98])
    found = fit(scored_sequences(delta, labels, num_chunks))
    assert [b.min_chunks for b in found.bins] == [1]
    assert found.measured["bins"][0]["viral"] == 1049
    with pytest.raises(InputError, match="there are 0 viral and 0 non-viral ones, 50 of each"):
        fit(scored_sequences(delta, labels, num_chunks + 1))


def test_rates_worked_out_by_hand():
    labels = np.repeat([0, 1], [9, 4])
    delta = np.array([-0.8, -0.6, -0.4, -0.2, 0.0, 0.1, 0.2, 0.3, 0.4, -0.5, 0.0, 0.35, 0.9])
    found = rates(scored_sequences(delta, labels))
    at = dict(zip(found.delta, zip(found.viral, found.nonviral, strict=True), strict=True))
    assert found.delta[0] == -1 and at[-1.0] == (1, 1)
    assert at[0.9] == (0.25, 0.1)  # none of 9 others: (0 + 1) / (9 + 1)
    assert at[0.4] == (0.25, 0.2)
    assert found.viral == tuple(sorted(found.viral, reverse=True))
    assert found.nonviral == tuple(sorted(found.nonviral, reverse=True))


@pytest.mark.parametrize("prior", [0.5, 0.1, 0.02])
def test_the_fdr_of_calls_is_about_what_comes_true(prior):
    calibrator = Calibrator(fit(synthetic(20_000, seed=5)), prior)
    fresh = synthetic(40_000, seed=6)
    verdicts = [calibrator.verdict(d, 1) for d in fresh.delta.tolist()]
    weight = np.where(fresh.labels == 1, prior, 1 - prior)
    for least in (0.01, 0.03, 0.1):
        called = np.array([v.fdr is not None and v.fdr <= least for v in verdicts])
        if (called & (fresh.labels == 1)).sum() < 200:
            continue
        false = weight[called & (fresh.labels == 0)].sum() / weight[called].sum()
        assert false == pytest.approx(least, rel=0.35), (prior, least)


def test_the_reliability_table_worked_out_by_hand():
    probabilities = np.array([0.0, 0.05, 0.5, 0.52, 0.99, 1.0])
    table, error = reliability(probabilities, np.array([0, 0, 0, 1, 1, 1]))
    assert [row["count"] for row in table] == [2, 2, 2]
    assert [row["p_virus"] for row in table] == pytest.approx([0.025, 0.51, 0.995])
    assert [row["viral"] for row in table] == [0, 0.5, 1]
    assert error == pytest.approx((0.025 + 0.01 + 0.005) / 3)


def test_the_reliability_weighs_both_kinds_the_same():
    # p = 0.5 of all: right at equal frequencies, whatever the numbers
    labels = np.repeat([0, 1], [90, 10])
    assert reliability(np.full(100, 0.5), labels)[1] == pytest.approx(0)


def test_held_out_probabilities_do_not_see_their_own_group():
    sequences = synthetic(2000, seed=7)
    groups = np.arange(2000) // 20
    grouped = scored_sequences(sequences.delta, sequences.labels, groups=groups)
    first = held_out_p_virus(grouped, "isotonic")
    changed = grouped.labels.copy()
    changed[groups == 3] = 1 - changed[groups == 3]
    second = held_out_p_virus(scored_sequences(grouped.delta, changed, groups=groups), "isotonic")
    assert np.array_equal(first[groups == 3], second[groups == 3])
    assert not np.array_equal(first, second)


def test_too_few_groups_are_refused():
    sequences = synthetic(200)
    with pytest.raises(InputError, match="2 groups are too few to leave some out"):
        fit(scored_sequences(sequences.delta, sequences.labels, groups=sequences.labels))


def test_the_table_of_fdrs_covers_priors_and_probabilities():
    sequences = synthetic(4000)
    rows = fdr_table(fit(sequences), sequences)
    assert len(rows) == 15
    by_prior = [[r for r in rows if r["prior"] == prior] for prior in making.FDR_PRIORS]
    for own in by_prior:
        sensitivities = [r["sensitivity"] for r in own]
        assert sensitivities == sorted(sensitivities, reverse=True)
    assert by_prior[0][0]["fdr"] < by_prior[2][0]["fdr"] + 0.5
    half = by_prior[0][0]  # p_virus >= 0.5 at 1:1
    probabilities = p_virus(fit(sequences), sequences)
    called = probabilities >= 0.5
    true, false = called[sequences.labels == 1].sum(), called[sequences.labels == 0].sum()
    assert half["sensitivity"] == true / 2000
    assert half["fdr"] == pytest.approx((false + 1) / 2001 / ((false + 1) / 2001 + true / 2000))


SUMS = {"dnabert_s": "d" * 64, "tokenizer": "a" * 64, "esm2": "e" * 64, "classifier": "c" * 64}
DESCRIPTION = {
    "format": 1,
    "name": "x",
    "chunk_bp": [500],
    "frame_rule": {"rule": "open", "min_residues": 30},
    "calibration": None,
    "components": {
        role: {"file": role, "sha256": sha256.upper(), "width": 2, "input_width": 4}
        for role, sha256 in SUMS.items()
    },
}


def test_a_calibration_is_put_into_the_set_and_replaces_its_like(tmp_path):
    (tmp_path / "modelset.json").write_text(json.dumps(DESCRIPTION))
    first, second = fit(synthetic(1000)), fit(synthetic(1000, seed=1), "isotonic")
    second = dataclasses.replace(second, viral_prior=0.2)
    path = write_calibration(tmp_path, first, 500, "open")
    assert path.name == "calibration-500-open.json"
    assert load_calibration(path).bins == first.bins
    write_calibration(tmp_path, second, 500, "longest_open")
    write_calibration(tmp_path, second, 500, "open")
    found = json.loads((tmp_path / "modelset.json").read_text())
    assert {**found, "calibration": None} == DESCRIPTION
    entries = [(c["chunk_bp"], c["frame_rule"], c["file"]) for c in found["calibration"]]
    assert entries == [
        (500, "longest_open", "calibration-500-longest_open.json"),
        (500, "open", "calibration-500-open.json"),
    ]
    for entry, least in zip(found["calibration"], (30, None), strict=True):
        content = (tmp_path / entry["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry["sha256"]
        made_for = MadeFor(500, entry["frame_rule"], least, SUMS)  # the set's own sums and residues
        expected = dataclasses.replace(second, made_for=made_for)
        assert load_calibration(tmp_path / entry["file"], entry["sha256"], made_for) == expected
    assert len(list(tmp_path.iterdir())) == 3


def test_a_folder_without_a_sound_set_is_refused(tmp_path):
    with pytest.raises(InputError, match="there is no modelset.json"):
        write_calibration(tmp_path, fit(synthetic(400)), 500, "open")
    (tmp_path / "modelset.json").write_text(json.dumps({**DESCRIPTION, "calibration": ["x"]}))
    with pytest.raises(
        InputError, match=r"calibration.0 \(must be an object\). .* fix modelset.json"
    ):
        write_calibration(tmp_path, fit(synthetic(400)), 500, "open")
    assert len(list(tmp_path.iterdir())) == 1
