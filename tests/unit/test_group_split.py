import re

import pytest

from virnucpro.errors import InputError
from virnucpro.training.genomes import Genome
from virnucpro.training.group_split import split_genomes


def sheet(num_groups: int = 40, per_group: int = 2) -> list[Genome]:
    """Genomes of two labels and two classes of each."""
    return [
        Genome(f"{label}{kind}{g}.{n}", label, f"{label} {kind}", f"{label}{kind}{g}")
        for label in ("viral", "nonviral")
        for kind in "ab"
        for g in range(num_groups)
        for n in range(per_group)
    ]


def sizes(genomes, parts, chunks, **which):
    found = dict.fromkeys(("train", "val", "test"), 0)
    for g in genomes:
        if all(getattr(g, key) == value for key, value in which.items()):
            found[parts[g.id]] += chunks[g.id]
    return found


def test_groups_stay_whole_and_each_class_is_split_in_its_shares():
    genomes = sheet()
    chunks = {g.id: 3 + n % 7 for n, g in enumerate(genomes)}
    parts = split_genomes(genomes, chunks, seed=1)
    for group in {g.group for g in genomes}:
        assert len({parts[g.id] for g in genomes if g.group == group}) == 1
    for kind in {g.kind for g in genomes}:
        found = sizes(genomes, parts, chunks, kind=kind)
        total = sum(found.values())
        assert found["val"] / total == pytest.approx(0.1, abs=0.04)
        assert found["test"] / total == pytest.approx(0.1, abs=0.04)


def test_the_seed_draws_and_the_order_of_the_sheet_does_not():
    genomes = sheet()
    chunks = {g.id: 5 for g in genomes}
    first = split_genomes(genomes, chunks, seed=1)
    assert split_genomes(genomes[::-1], chunks, seed=1) == first
    assert split_genomes(genomes, chunks, seed=2) != first


def test_three_groups_of_a_label_are_one_for_each_side():
    genomes = [Genome(f"{label}{g}", label, "x", f"{label}{g}")
               for label in ("viral", "nonviral") for g in range(3)]  # fmt: skip
    parts = split_genomes(genomes, {g.id: 1 + int(g.id[-1]) for g in genomes}, seed=0)
    for label in ("viral", "nonviral"):
        assert {parts[g.id] for g in genomes if g.label == label} == {"train", "val", "test"}
        assert parts[f"{label}2"] == "train"  # the largest


def test_the_sheet_fixes_groups_and_their_other_genomes_follow():
    genomes = sheet(10)
    genomes[0] = Genome(**(vars(genomes[0]) | {"part": "test"}))
    follower = genomes[1]
    assert follower.group == genomes[0].group
    for seed in range(5):
        parts = split_genomes(genomes, {g.id: 5 for g in genomes}, seed)
        assert parts[genomes[0].id] == parts[follower.id] == "test"


def test_a_group_on_two_sides_is_refused():
    genomes = [Genome("a", "viral", "x", "G", "train"), Genome("b", "viral", "x", "G", "val")]
    with pytest.raises(InputError, match="group G: a is in train, b is in val"):
        split_genomes(genomes, {"a": 1, "b": 1}, 0)


@pytest.mark.parametrize("chunks", [1, 0])
def test_a_side_without_a_label_is_refused(chunks):
    genomes = sheet(5)
    counts = {g.id: 5 if g.label == "viral" else chunks for g in genomes}
    if chunks:
        genomes = [g for g in genomes if g.label == "viral" or g.group == "nonvirala0"]
    words = "val has no nonviral genome"
    with pytest.raises(InputError, match=re.escape(words)):
        split_genomes(genomes, counts, 0)
