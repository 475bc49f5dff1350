"""virnucpro predict: run the pipeline with the options of the fork."""

import argparse
import os
import signal
import sys
from typing import NoReturn

from virnucpro.errors import InputError
from virnucpro.migration.arguments import read_arguments
from virnucpro.migration.launch import Launch
from virnucpro.migration.places import find_nextflow, find_pipeline, has_results, last_session

# It takes all words unparsed, since those after `--` go to nextflow.
PARSER_SETTINGS = {"prefix_chars": "\0", "add_help": False}
MODEL_SET_VARIABLE = "VIRNUCPRO_MODEL_SET"
BUNDLED = "model set: the bundled one, since no --model-set names another."  # the run says more


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("words", nargs=argparse.REMAINDER)


def run(args: argparse.Namespace) -> NoReturn:
    """Replace this process by nextflow, so that signals and exit status are passed on.

    Raises: InputError before anything is started.
    """
    launch, notes, words = read_arguments(args.words, os.environ)
    notes += choose_model_set(launch)
    notes += check_outdir(launch)
    pipeline = find_pipeline(launch.pipeline, os.environ)
    arguments = [*launch.arguments(find_nextflow(pipeline), pipeline), *words]
    for line in (*notes, launch.shell_line(arguments)):
        print(line, file=sys.stderr, flush=True)
    sys.stdout.flush()
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and exec keeps that
        signal.signal(number, signal.SIG_DFL)
    os.execve(arguments[0], arguments, {**os.environ, **launch.environment})


def choose_model_set(launch: Launch) -> list[str]:
    """Use the model set of the variable where no option names one; return messages about it."""
    if "model_set" in launch.parameters:
        return []
    folder = os.environ.get(MODEL_SET_VARIABLE)
    if not folder:
        return [BUNDLED]
    launch.set("model_set", os.path.abspath(folder), MODEL_SET_VARIABLE)  # noqa: PTH100
    return [f"model set: {folder} (from {MODEL_SET_VARIABLE})"]


def check_outdir(launch: Launch) -> list[str]:
    """Find the run to resume; return messages about it.

    Raises: InputError when another run's results would be mixed with this one's.
    """
    outdir = launch.parameters["outdir"]
    if launch.resume:
        session = last_session(outdir, os.environ)
        if session:
            launch.after += ["-resume", session]
            return []
        return [f"--resume: no run from this folder wrote {outdir}, so everything is computed."]
    if has_results(outdir) and not launch.force:
        raise InputError(
            f"--output-dir {outdir}: is not empty. Continue that run with --resume, overwrite it "
            "with --force, or name another folder."
        )
    return []
