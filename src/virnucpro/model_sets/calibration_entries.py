"""The calibration files of a model set, and what they must have been made for."""

from pathlib import Path

from virnucpro.consensus.calibration_file import load_calibration
from virnucpro.consensus.calibrator import Calibration, MadeFor
from virnucpro.model_sets.description import ModelSet
from virnucpro.model_sets.rules import CalibrationEntry
from virnucpro.sequences.translation import OPEN_RULE


def made_for(model_set: ModelSet, chunk_bp: int, frame_rule: str) -> MadeFor:
    """Return what a calibration of the set for such chunks is made for."""
    return MadeFor(
        chunk_bp,
        frame_rule,
        None if frame_rule == OPEN_RULE else model_set.frame_rule.min_residues,
        {component.role: component.sha256 for component in model_set.components},
    )


def load_entry(
    model_set: ModelSet, entry: CalibrationEntry, staged: Path | None = None
) -> Calibration:
    """Return a calibration of the set.

    Args:
        staged: where its file is read instead, in a task that does not see the set's folder.

    Raises: InputError for a file that is missing, damaged, malformed or made for something else.
    """
    wanted = made_for(model_set, entry.chunk_bp, entry.frame_rule)
    return load_calibration(staged or model_set.folder / entry.file, entry.sha256, wanted)
