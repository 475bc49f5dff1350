"""The frame rule and the calibrations that a modelset.json states, and what is wrong with them.

workflows/model_set.nf has the same rules; tests/pipeline/test_model_rules.py compares them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from virnucpro.sequences.translation import LONGEST_OPEN_RULE, MIN_RESIDUES, OPEN_RULE

FRAME_RULES = (OPEN_RULE, LONGEST_OPEN_RULE)
RULE_NAME = re.compile(r"[a-z0-9_]+")
FILE_NAME = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]+")  # no control characters, no half ones
SHA256 = re.compile(r"[0-9A-Fa-f]{64}")
LARGEST = 2**31 - 1  # of a whole number; the pipeline's integers have 32 bits

NO_COUNT = "no whole number from 1 on"
NO_RULE = "no name of a frame rule"


class FrameRule(NamedTuple):
    """Which frames are embedded.

    Attributes:
        name: one of FRAME_RULES, or of a rule that this version does not have.
        min_residues: of a stretch that stands in for a frame; by `open`, in runs with
            --frame_rule longest_open.
    """

    name: str
    min_residues: int

    def __str__(self) -> str:
        """Return the rule as the digest has it: equal rules give equal texts."""
        plain = self.name == OPEN_RULE and self.min_residues == MIN_RESIDUES
        return self.name if plain else f"{self.name} {self.min_residues}"


@dataclass(frozen=True)
class CalibrationEntry:
    """A calibration of a set, and the chunks that it holds for.

    Attributes:
        file: as modelset.json names it; sha256: that it must have, in lower case.
    """

    chunk_bp: int
    frame_rule: str
    file: str
    sha256: str

    def __str__(self) -> str:
        """Return what tells it from the set's others."""
        return f"{self.chunk_bp} bp, {self.frame_rule}"


def frame_rule(stated: Any) -> FrameRule:
    """Return the frame rule that a set states, without a fault: by name, or as an object."""
    own: Mapping[str, Any] = stated if isinstance(stated, Mapping) else {"rule": stated}
    least = own.get("min_residues")
    return FrameRule(own["rule"], MIN_RESIDUES if least is None else int(least))


def rule_faults(stated: Any) -> list[str]:
    """Return what is wrong with a frame rule: the key, and the cause in brackets."""
    if not isinstance(stated, Mapping):
        return _fault("frame_rule", stated, _is_rule_name(stated), NO_RULE)
    name, least = stated.get("rule"), stated.get("min_residues")
    fits = least is None or _is_count(least) or (isinstance(least, float) and _is_whole(least))
    return [
        *_fault("frame_rule.rule", name, _is_rule_name(name), NO_RULE),
        *_fault("frame_rule.min_residues", least, fits, NO_COUNT),
    ]


def calibration_entries(stated: list[Any] | None) -> tuple[CalibrationEntry, ...]:
    """Return the calibrations that a set states, without a fault; None: there are none."""
    return tuple(
        CalibrationEntry(e["chunk_bp"], e["frame_rule"], e["file"], e["sha256"].lower())
        for e in stated or ()
    )


def calibration_faults(stated: Any) -> list[str]:
    """Return what is wrong with the calibrations: entry and key, and the cause in brackets."""
    if stated is None:
        return []
    if not isinstance(stated, list):
        return ["calibration (no list)"]
    faults: list[str] = []
    known: set[tuple[int, str]] = set()
    for place, entry in enumerate(stated):
        own = _entry_faults(f"calibration.{place}", entry)
        if not own:
            holds_for = (entry["chunk_bp"], entry["frame_rule"])
            if holds_for in known:
                own = [f"calibration.{place} (a second one for {holds_for[0]} bp, {holds_for[1]})"]
            known.add(holds_for)
        faults += own
    return faults


def _entry_faults(key: str, entry: Any) -> list[str]:
    if not isinstance(entry, Mapping):
        return [f"{key} (no object)"]
    bp, rule, file, sha256 = (entry.get(k) for k in ("chunk_bp", "frame_rule", "file", "sha256"))
    return [
        *_fault(f"{key}.chunk_bp", bp, _is_count(bp), NO_COUNT),
        *_fault(f"{key}.frame_rule", rule, _is_rule_name(rule), NO_RULE),
        *_fault(f"{key}.file", file, _matches(FILE_NAME, file), "no file name"),
        *_fault(f"{key}.sha256", sha256, is_sha256(sha256), "not 64 hexadecimal digits"),
    ]


def _fault(key: str, value: Any, fits: bool, cause: str) -> list[str]:
    return [] if fits else [f"{key} ({'missing' if value is None else cause})"]


def is_sha256(value: Any) -> bool:
    """Return whether a value of modelset.json is a sha256, in either case."""
    return _matches(SHA256, value)


def _is_rule_name(value: Any) -> bool:
    return _matches(RULE_NAME, value)


def _matches(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and bool(pattern.fullmatch(value))


def _is_count(value: Any) -> bool:
    return type(value) is int and 1 <= value <= LARGEST


def _is_whole(value: float) -> bool:
    """Return whether a number with a point or exponent is a count; JSON's 20.0 is 20."""
    return 1 <= value <= LARGEST and value.is_integer()
