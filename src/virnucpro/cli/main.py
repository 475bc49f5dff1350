"""virnucpro: model sets, checks of an installation, and the fork's options for the pipeline.

The pipeline itself is `nextflow run`; its tasks are the scripts in bin/.
"""

import argparse
import logging
import sys
from importlib import import_module
from importlib.metadata import version
from types import ModuleType

from virnucpro.errors import InputError
from virnucpro.migration.arguments import globals_last

# Each module has `add_arguments(parser)` and `run`: arguments in, exit status out; its docstring is
# the help text. Modules import torch in their functions only, so that `virnucpro --help` is quick
# and needs no GPU image.
COMMANDS = ("predict", "compare", "verify", "health", "profile")
MODELS_COMMANDS = ("build", "check", "fetch", "list")
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
    models = commands.add_parser("models", help="make, fetch, check and list model sets")
    models_commands = models.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in MODELS_COMMANDS:
        _add_command(models_commands, name, import_module(f"virnucpro.cli.models_{name}"))
    for name in COMMANDS:
        _add_command(commands, name, import_module(f"virnucpro.cli.{name}"))
    return parser


def _add_command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, module: ModuleType
) -> None:
    text = str(module.__doc__)
    parser = commands.add_parser(
        name,
        help=text.split(": ", 1)[1].split("\n")[0].rstrip("."),
        description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        **getattr(module, "PARSER_SETTINGS", {}),
    )
    module.add_arguments(parser)
    parser.set_defaults(run=module.run)


def main(argv: list[str] | None = None) -> int:
    """Run one command; an InputError becomes one message on stderr and exit status 2."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    args = build_parser().parse_args(globals_last(sys.argv[1:] if argv is None else argv))
    try:
        return int(args.run(args))
    except InputError as error:
        print(f"virnucpro: error: {error}", file=sys.stderr)
        return EXIT_INPUT
