"""The frame rule and the calibrations that a modelset.json without a fault states."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from virnucpro.sequences.translation import LONGEST_OPEN_RULE, MIN_RESIDUES, OPEN_RULE

FRAME_RULES = (OPEN_RULE, LONGEST_OPEN_RULE)


class FrameRule(NamedTuple):
    """Which frames are embedded.

    Attributes:
        name: one of FRAME_RULES, or of a rule that this version does not have.
        min_residues: of a stretch that stands in for a frame; by `open`, in runs with
            --frame_rule longest_open.
    """

    name: str
    min_residues: int

    def as_json(self) -> dict[str, Any]:
        """Return the rule as modelset.json has it."""
        return {"rule": self.name, "min_residues": self.min_residues}

    def __str__(self) -> str:
        """Return the rule as the digest has it: equal rules give equal texts."""
        is_default = self.name == OPEN_RULE and self.min_residues == MIN_RESIDUES
        return self.name if is_default else f"{self.name} {self.min_residues}"


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
        """Return what distinguishes it from the set's others."""
        return f"{self.chunk_bp} bp, {self.frame_rule}"


def frame_rule(stated: Any) -> FrameRule:
    """Return the frame rule that a set states, by name or as an object."""
    rule: Mapping[str, Any] = stated if isinstance(stated, Mapping) else {"rule": stated}
    min_residues = rule.get("min_residues")
    return FrameRule(rule["rule"], MIN_RESIDUES if min_residues is None else int(min_residues))


def calibration_entries(stated: list[Any] | None) -> tuple[CalibrationEntry, ...]:
    """Return the calibrations that a set states; None: there are none."""
    return tuple(
        CalibrationEntry(int(e["chunk_bp"]), e["frame_rule"], e["file"], e["sha256"].lower())
        for e in stated or ()
    )
