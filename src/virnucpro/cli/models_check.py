"""virnucpro models check: verify every file of a model set, and compute with it here.

Prints a line for each component. Exit status: 0 when all is well, 1 when a component is not.
"""

import argparse
import logging
from pathlib import Path


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        "check",
        help="verify every file of a model set, and compute with it",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("set", type=Path, metavar="SET", help="folder of the set")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto",
                        help="to compute on; auto: the GPU where there is one")  # fmt: skip
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check the set; return 0 or 1."""
    from virnucpro.engine.device import choose_device
    from virnucpro.model_sets.check import check_components
    from virnucpro.model_sets.description import read_model_set

    logging.getLogger("virnucpro.engine").setLevel(logging.WARNING)  # no progress of two frames
    all_ok = True
    for finding in check_components(read_model_set(args.set), choose_device(args.device)):
        all_ok &= finding.ok
        print(f"{'ok' if finding.ok else 'FAULT'}\t{finding.role}\t{finding.text}", flush=True)
    return 0 if all_ok else 1
