"""virnucpro models: make, fetch, check and list model sets."""

import argparse
from importlib import import_module

COMMANDS = ("models_fetch",)  # modules beside this one, as in main.py


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its sub-commands."""
    parser = commands.add_parser("models", help=__doc__.split(": ", 1)[1])
    subcommands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS:
        import_module(f"virnucpro.cli.{name}").add_parser(subcommands)
