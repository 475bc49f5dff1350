"""Which genomes train the classifier, which choose its best epoch, and which test it.

Groups (genera, clusters) are never cut. Each class is split by itself, so that all of them are on
all sides where they have enough groups; sizes are numbers of chunks with a frame.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from virnucpro.errors import InputError
from virnucpro.training.genomes import LABELS, PARTS, Genome

SHARES = {"test": 0.1, "val": 0.1}  # of the chunks; the rest trains
MIN_GROUPS = 3  # of a class, to have one on each side


def split_genomes(
    genomes: Sequence[Genome], num_chunks: Mapping[str, int], seed: int
) -> dict[str, str]:
    """Return genome id -> "train", "val" or "test".

    A group goes where the sheet puts one of its genomes. The others are drawn by the seed; the
    order of the sheet does not matter.

    Args:
        genomes: of the sheet.
        num_chunks: genome id -> its chunks with a frame.
        seed: of the draw.
    Raises: InputError for a group on two sides, and for a label that is missing on one.
    """
    fixed = _fixed_groups(genomes)
    weights: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)  # group -> class -> chunks
    for genome in genomes:
        weights[genome.group][genome.label, genome.kind] += num_chunks[genome.id]
    sizes = {group: kinds.total() for group, kinds in weights.items()}
    strata: dict[tuple[str, str], list[str]] = defaultdict(list)
    for group, kinds in sorted(weights.items()):
        # a group of several classes counts as the one it has most of
        strata[max(sorted(kinds), key=lambda pair: kinds[pair])].append(group)

    parts = dict(fixed)
    rng = np.random.default_rng(seed)
    for groups in _joined(strata, fixed):
        parts |= _draw(groups, sizes, {g: fixed[g] for g in groups if g in fixed}, rng)
    part_of = {genome.id: parts[genome.group] for genome in genomes}
    _check_both_labels(genomes, num_chunks, part_of)
    return part_of


def _fixed_groups(genomes: Sequence[Genome]) -> dict[str, str]:
    """Return group -> part, of the groups that the sheet puts on a side."""
    sides: dict[str, dict[str, str]] = {}  # group -> part -> a genome
    for genome in genomes:
        if genome.part:
            sides.setdefault(genome.group, {}).setdefault(genome.part, genome.id)
    on_two_sides = [
        f"group {group}: " + ", ".join(f"{name} is in {part}" for part, name in of_group.items())
        for group, of_group in sides.items()
        if len(of_group) > 1
    ]
    if on_two_sides:
        raise InputError(
            f"the column split puts a group on two sides: {'; '.join(on_two_sides)}. Genomes of "
            "one group are relatives: put them on one side."
        )
    return {group: next(iter(of_group)) for group, of_group in sides.items()}


def _joined(
    strata: Mapping[tuple[str, str], list[str]], fixed: Mapping[str, str]
) -> list[list[str]]:
    """Return the groups of each stratum; of each label, those with few groups are joined."""
    joined: list[list[str]] = []
    for label in LABELS:
        of_label = [groups for (of, _), groups in sorted(strata.items()) if of == label]
        small = [g for g in of_label if len([x for x in g if x not in fixed]) < MIN_GROUPS]
        joined += [groups for groups in of_label if groups not in small]
        joined.append(sorted(group for groups in small for group in groups))
    return joined


def _draw(
    groups: Sequence[str],
    sizes: Mapping[str, int],
    fixed: Mapping[str, str],
    rng: np.random.Generator,
) -> dict[str, str]:
    """Return the part of each group of a stratum that has none yet.

    Val and test take groups in a random order as long as that brings them nearer to their share;
    one that got none takes the smallest group, where a group for each side is left.
    """
    free = [groups[i] for i in rng.permutation(len(groups)) if groups[i] not in fixed]
    total = sum(sizes[group] for group in groups)
    parts: dict[str, str] = {}
    spare = len(free) >= MIN_GROUPS or bool(fixed)
    for part, share in SHARES.items():
        filled = sum(sizes[group] for group in fixed if fixed[group] == part)
        taken = part in fixed.values()
        for group in free:
            nearer = filled + sizes[group] / 2 <= share * total
            if sizes[group] and nearer and group not in parts and len(free) - len(parts) > 1:
                parts[group], filled, taken = part, filled + sizes[group], True
        rest = [group for group in free if sizes[group] and group not in parts]
        if not taken and spare and len(rest) > 1:
            parts[min(rest, key=lambda group: sizes[group])] = part
    return {group: parts.get(group, "train") for group in free}


def _check_both_labels(
    genomes: Sequence[Genome], num_chunks: Mapping[str, int], parts: Mapping[str, str]
) -> None:
    present = {(parts[g.id], g.label) for g in genomes if num_chunks[g.id]}
    missing = [f"{part} has no {label} genome" for part in PARTS for label in LABELS
               if (part, label) not in present]  # fmt: skip
    if missing:
        groups = {label: len({g.group for g in genomes if g.label == label}) for label in LABELS}
        raise InputError(
            f"the split by groups: {', '.join(missing)} with a frame to score, of "
            f"{groups['viral']} viral and {groups['nonviral']} nonviral groups. Give genomes of "
            "more groups, at least three of each label, or set the column split."
        )
