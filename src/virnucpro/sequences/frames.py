"""The six frames of a chunk: names, state letters, and which of them are embedded."""

from typing import NamedTuple

FRAME_NAMES = ("F1", "F2", "F3", "R1", "R2", "R3")
# States of a frame. Those of the second line have an embedding.
HAS_STOP, NO_CODON = "s", "n"
OPEN, OPEN_DROPPED, PARTIAL, PARTIAL_DROPPED = EMBEDDED_STATES = "odpq"
DROPPED_STATES = OPEN_DROPPED + PARTIAL_DROPPED
PARTIAL_STATES = PARTIAL + PARTIAL_DROPPED


class Span(NamedTuple):
    """Part of a chunk, 0-based half-open, on the forward strand for R frames too."""

    start: int
    end: int


def embedded_frames(chunk_id: str, states: str) -> list[str]:
    """Return the ids of the frames of a chunk that have an embedding."""
    return [
        chunk_id + frame
        for frame, state in zip(FRAME_NAMES, states, strict=True)
        if state in EMBEDDED_STATES
    ]


def has_partial_frame(states: str) -> bool:
    """Return whether a partial frame was taken in the place of open ones."""
    return any(state in PARTIAL_STATES for state in states)
