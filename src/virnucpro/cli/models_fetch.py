"""virnucpro models fetch: download official files, check them and build a model set.

Every file is compared with the size and checksum in assets/models.toml. Where no source states a
checksum, the file's sha256 is recorded at the first fetch, and other content is refused later.
A broken download is resumed when the same command is run again. Proxies: HTTPS_PROXY, NO_PROXY.
This is the only command that needs a network; with --from, which takes the files from a folder, it
needs none.
"""

import argparse
from pathlib import Path

from virnucpro.cli.models_build import add_build_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("name", help="virnucpro-500 or virnucpro-300")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="SET", help="its folder")
    parser.add_argument(
        "--esm2",
        metavar="NAME",
        help="another ESM-2, e.g. 650M or esm2_t33_650M_UR50D, if it fits the classifier",
    )
    parser.add_argument(
        "--from",
        dest="carried",
        type=Path,
        metavar="DIR",
        help="take the files, under their published names, from this folder; no network is used",
    )
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="where downloads stay (default: downloads beside the set)",
    )
    add_build_options(parser)
    parser.add_argument(
        "--sources",
        type=Path,
        metavar="TOML",
        help="a table to use instead of assets/models.toml, e.g. with the addresses of a mirror",
    )


def run(args: argparse.Namespace) -> int:
    """Fetch; return the exit status."""
    from virnucpro.model_import.fetch import fetch_set
    from virnucpro.model_import.sources_table import read_table

    official = read_table(args.sources).official_set(args.name, args.esm2)
    fetch_set(
        official,
        args.out,
        dtype=args.dtype,
        store=args.store,
        carried=args.carried,
        cache=args.cache,
    )
    print(args.out)
    return 0
