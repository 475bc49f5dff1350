"""virnucpro models list: print the model sets in some folders."""

import argparse
from pathlib import Path

from virnucpro.model_sets.listing import FOLDERS_VARIABLE, default_folders, list_sets


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "folders", type=Path, nargs="*", metavar="FOLDER",
        help=f"sets, or folders of sets; default: the bundled ones and ${FOLDERS_VARIABLE}",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Print the table."""
    print(list_sets(args.folders or default_folders()))
    return 0
