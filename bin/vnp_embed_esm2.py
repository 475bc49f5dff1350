#!/usr/bin/env python3
"""Embed protein frames with ESM-2: X.frames.faa to X.esm2.h5 in this folder."""

from virnucpro.engine.stopping import STOP

if __name__ == "__main__":
    STOP.listen()  # before torch is imported, which takes seconds

from virnucpro.engine.embed_task import ESM2_TASK, run_embed  # noqa: E402
from virnucpro.task import end_process  # noqa: E402


def main(argv: list[str] | None = None) -> int:
    """Run the task; return its exit status."""
    return run_embed(ESM2_TASK, __doc__, argv)


if __name__ == "__main__":
    end_process(main())
