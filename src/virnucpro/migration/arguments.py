"""Parses a command line with the fork's options into a Launch."""

import argparse
import re
from collections.abc import Mapping
from pathlib import Path

from virnucpro.errors import InputError
from virnucpro.migration.launch import Launch
from virnucpro.migration.options import OPTIONS, VARIABLES, YES, Option, Origin

DESCRIPTION = """\
Run the pipeline on one file with the options of the fork (virnucpro-broad).

Prints the corresponding `nextflow run` command, executes it and returns its exit status.
Everything after ` -- ` goes to nextflow unchanged. docs/migration.md has the whole table.
"""
COMPRESSED = re.compile(r"\.(gz|bz2|xz|zst)$", re.IGNORECASE)


def predict_parser() -> argparse.ArgumentParser:
    """Return the parser of the table of options; its namespace has only the given ones."""
    parser = argparse.ArgumentParser(
        prog="virnucpro predict",
        usage="virnucpro predict INPUT [options] [-- nextflow's own options]",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    parser.add_argument(
        "input", metavar="INPUT", help="FASTA, FASTQ or BAM, plain or gz, bz2, xz, zst"
    )
    for origin in Origin:
        group = parser.add_argument_group(origin.value.replace("`", ""))
        for option in OPTIONS:
            if option.origin is origin:
                _add(group, option)
    return parser


def _add(group: "argparse._ArgumentGroup", option: Option) -> None:
    text = option.here.replace("`", "").replace("%", "%%")
    text = text if option.support == "supported" else f"({option.support}) {text}"
    if option.value is None:
        group.add_argument(*option.flags, dest=option.names, action="store_true", help=text)
    else:
        group.add_argument(
            *option.flags, dest=option.names, metavar=option.value, type=option.parse, help=text
        )


def read_arguments(
    words: list[str], environment: Mapping[str, str]
) -> tuple[Launch, list[str], list[str]]:
    """Return the launch, a message for each option without effect, and the words for nextflow.

    The fork's environment variables count as options.

    Raises: InputError with all options that are refused or contradict others.
    """
    cut = words.index("--") if "--" in words else len(words)
    given = vars(predict_parser().parse_args(words[:cut]))
    launch = Launch()
    launch.parameters["input"] = _input_file(given["input"])
    notes, faults = [], []
    for option in OPTIONS:
        if option.names not in given:
            continue
        flag, value = option.names, given[option.names]
        if option.refused:
            faults.append(f"{flag}: refused. {option.here}")
        elif option.effect is None:
            notes.append(f"{flag}: no effect here. {option.here}")
        else:
            try:
                option.effect(launch, value, flag)
            except InputError as error:
                faults.append(str(error))
    for variable in VARIABLES:
        if environment.get(variable.name, "").lower() in YES:
            if variable.effect:
                variable.effect(launch, True, variable.name)
                notes.append(f"{variable.name} is set. {variable.here}")
            else:
                notes.append(f"{variable.name}: no effect here. {variable.here}")
    if faults:
        raise InputError("\n  ".join(["options:", *faults]) if len(faults) > 1 else faults[0])
    if "outdir" not in launch.parameters:
        launch.parameters["outdir"] = str(Path(f"{_stem(given['input'])}_predictions").absolute())
    return launch, notes, words[cut + 1 :]


def _input_file(text: str) -> str:
    """Return the absolute path of a file.

    Raises: InputError when it does not exist, or is a folder.
    """
    path = Path(text).absolute()
    if path.is_dir():
        raise InputError(
            f"{text}: is a folder. Give one file; for many, `nextflow run` takes a samplesheet or "
            "a glob as --input."
        )
    if not path.exists():
        raise InputError(f"{text}: there is no such file. Check the name.")
    return str(path)


def _stem(text: str) -> str:
    """Return the name of a file without its ending; the fork kept `.fa` of `x.fa.gz`."""
    return Path(COMPRESSED.sub("", Path(text).name)).stem


def globals_last(words: list[str]) -> list[str]:
    """Return a command line with the fork's global options moved behind `predict`."""
    values = {
        flag: option.value is not None
        for option in OPTIONS
        if option.origin is Origin.GLOBAL
        for flag in option.flags
    }
    cut = 0
    while cut < len(words) and words[cut] in values:
        cut += 2 if values[words[cut]] else 1
    is_predict = words[cut : cut + 1] == ["predict"]
    return ["predict", *words[:cut], *words[cut + 1 :]] if is_predict else words
