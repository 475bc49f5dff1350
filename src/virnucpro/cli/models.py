"""virnucpro models: make, fetch, check and list model sets."""

import argparse


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its sub-commands."""
    parser = commands.add_parser("models", help=__doc__.split(": ", 1)[1])
    parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
