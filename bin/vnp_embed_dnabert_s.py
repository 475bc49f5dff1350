#!/usr/bin/env python3
"""Embed nucleotide frames with DNABERT-S: X.frames.fna to X.dnabert_s.h5 in this folder."""

from virnucpro.engine.stopping import STOP

if __name__ == "__main__":
    STOP.listen()  # before torch is imported, which takes seconds

from virnucpro.engine.embed_task import DNABERT_S_TASK, run_embed  # noqa: E402
from virnucpro.task import end_process  # noqa: E402


def main(argv: list[str] | None = None) -> int:
    """Run the task; return its exit status."""
    return run_embed(DNABERT_S_TASK, __doc__, argv)


if __name__ == "__main__":
    end_process(main())
