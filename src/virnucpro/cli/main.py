"""virnucpro: model sets, checks of an installation, and the fork's options for the pipeline.

The pipeline itself is `nextflow run`; its tasks are the scripts in bin/.
"""

import argparse
import logging
import sys
from importlib import import_module
from importlib.metadata import version

from virnucpro.errors import InputError
from virnucpro.migration.arguments import globals_last

# Each module has `add_parser(commands)`, which sets `run`: arguments in, exit status out. Modules
# import torch in their functions only, so that `virnucpro --help` is quick and needs no GPU image.
COMMANDS = ("models", "predict", "compare", "health", "profile")
EXIT_INPUT = 2


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="virnucpro",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"virnucpro {version('virnucpro')}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS:
        import_module(f"virnucpro.cli.{name}").add_parser(commands)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command; an InputError becomes one message on stderr and exit status 2."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    args = build_parser().parse_args(globals_last(sys.argv[1:] if argv is None else argv))
    try:
        status: int = args.run(args)
    except InputError as error:
        print(f"virnucpro: error: {error}", file=sys.stderr)
        return EXIT_INPUT
    return status
