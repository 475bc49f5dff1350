"""virnucpro models: make, fetch, check and list model sets."""

import argparse
from importlib import import_module

# Each module has `add_parser(commands)`, as those of `virnucpro` itself.
COMMANDS = ("models_build", "models_check", "models_fetch", "models_list")


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its subcommands."""
    parser = commands.add_parser("models", help=__doc__.split(": ", 1)[1])
    inner = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS:
        import_module(f"virnucpro.cli.{name}").add_parser(inner)
