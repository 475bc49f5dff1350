"""Windows of labelled sequences: at random for training, end to end for validation."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from virnucpro.compact.sources import Source
from virnucpro.sequences.translation import COMPLEMENT

# A class is drawn as often as (its bases) ^ TEMPER, and so is a group within its class: between
# natural frequencies, where a few genomes make up most of it, and equal ones, where tiny ones do.
TEMPER = 0.5
MOST_OF_A_GROUP = 60  # chunks of one group in validation
SHORTEST_SHARE = 0.5  # of a window's length: validation omits windows that end earlier
PROKARYOTES = ("archaeon", "bacterium", "plasmid")
# Phages against prokaryotes is the hardest part: these are drawn more often (bench/LOG.md).
HARD_KINDS, HARD_KINDS_FACTOR = ("phage", *PROKARYOTES), 1.4
# What a sample in the field holds, for figures in which a class weighs its share of its label.
FIELD_SHARES = {
    "plant virus": 0.30, "animal virus": 0.30, "phage": 0.35,
    "prokaryotes": 0.45, "eukaryotes": 0.45, "organelle": 0.10,
}  # fmt: skip
OTHER_SHARE = 0.05


@dataclass(frozen=True)
class Windows:
    """Labelled pieces of sequences, on a random strand each.

    Attributes:
        labels: int64 [n], 1 viral; kinds: class of each; groups: that none of the other side has.
        sequence_of: int64 [n], the sequence that each was cut from.
    """

    sequences: list[str]
    labels: NDArray[np.int64]
    kinds: list[str]
    groups: list[str]
    sequence_of: NDArray[np.int64]


def training_windows(
    sources: Sequence[Source], lengths_bp: tuple[int, int], count: int, seed: int
) -> Windows:
    """Return windows of random lengths at random places, as many of each label.

    Args:
        sources: to cut from; sequences that are shorter give what they have.
        lengths_bp: shortest and longest window.
        count: of windows; seed: of what is drawn.
    """
    rng = np.random.default_rng(seed)
    chosen: list[int] = []
    for label in (0, 1):
        of_label = [i for i, s in enumerate(sources) if s.label == label and s.split == "train"]
        weights = drawing_weights([sources[i] for i in of_label])
        chosen += [of_label[i] for i in rng.choice(len(of_label), count // 2, p=weights)]
    lengths = rng.integers(lengths_bp[0], lengths_bp[1] + 1, len(chosen))
    places = [
        (i, int(rng.integers(max(1, len(sources[i].sequence) - length + 1))), int(length))
        for i, length in zip(chosen, lengths, strict=True)
    ]
    return _cut(sources, places, rng)


def drawing_weights(sources: Sequence[Source]) -> NDArray[np.float64]:
    """Return the chance of each sequence of one label to give the next window."""
    of_kind: dict[str, int] = defaultdict(int)
    of_group: dict[tuple[str, str], int] = defaultdict(int)
    for source in sources:
        of_kind[source.kind] += len(source.sequence)
        of_group[source.kind, source.group] += len(source.sequence)
    groups_of_kind: dict[str, float] = defaultdict(float)
    for (kind, _), bases in of_group.items():
        groups_of_kind[kind] += bases**TEMPER
    weights = np.array([
        (HARD_KINDS_FACTOR if s.kind in HARD_KINDS else 1)
        * of_kind[s.kind] ** TEMPER
        * of_group[s.kind, s.group] ** TEMPER / groups_of_kind[s.kind]
        * len(s.sequence) / of_group[s.kind, s.group]
        for s in sources
    ])  # fmt: skip
    return weights / weights.sum()


def validation_windows(sources: Sequence[Source], length_bp: int, seed: int = 0) -> Windows:
    """Return windows end to end, up to MOST_OF_A_GROUP of each group, chosen at random."""
    rng = np.random.default_rng(seed)
    of_group: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for i, source in enumerate(sources):
        if source.split == "val":
            last = len(source.sequence) - int(SHORTEST_SHARE * length_bp)
            of_group[source.group] += [(i, place) for place in range(0, last + 1, length_bp)]
    places: list[tuple[int, int, int]] = []
    for _, group_places in sorted(of_group.items()):
        chosen = sorted(rng.permutation(len(group_places))[:MOST_OF_A_GROUP])
        places += [(*group_places[k], length_bp) for k in chosen]
    return _cut(sources, places, rng)


def field_weights(windows: Windows) -> NDArray[np.float64]:
    """Return the weight of each window where each class has its share in the field."""
    group = np.array(
        [_field_class(k, label) for k, label in zip(windows.kinds, windows.labels, strict=True)]
    )
    weights = np.zeros(len(group))
    for name in np.unique(group):
        members = group == name
        weights[members] = FIELD_SHARES.get(str(name), OTHER_SHARE) / members.sum()
    return weights


def _field_class(kind: str, label: int) -> str:
    if label or kind in FIELD_SHARES:
        return kind
    return "prokaryotes" if kind in PROKARYOTES else "eukaryotes"


def _cut(
    sources: Sequence[Source],
    places: list[tuple[int, int, int]],
    rng: np.random.Generator,
) -> Windows:
    pieces = []
    for i, place, length_bp in places:
        piece = sources[i].sequence[place : place + length_bp].upper()
        pieces.append(piece if rng.random() < 0.5 else piece.translate(COMPLEMENT)[::-1])
    return Windows(
        pieces,
        np.array([sources[i].label for i, _, _ in places], np.int64),
        [sources[i].kind for i, _, _ in places],
        [sources[i].group for i, _, _ in places],
        np.array([i for i, _, _ in places], np.int64),
    )
