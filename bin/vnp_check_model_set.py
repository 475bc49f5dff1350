#!/usr/bin/env python3
"""Check a model set and the options that depend on it, before any other task.

Reads the pipeline's request, JSON, from stdin. Writes model_set.json, provenance.json and, for
training, trained_set.json; or an error with everything that is wrong.
"""

import argparse
import json
import sys
from pathlib import Path

from virnucpro.files import write_json
from virnucpro.input_checks.check_model_set_task import ModelSetRequest, check_model_set
from virnucpro.input_checks.engine_options import EncoderOptions, EngineProfile
from virnucpro.task import run_task, task_parser


def check(args: argparse.Namespace) -> None:
    """Check what stdin asks for."""
    asked = json.load(sys.stdin)
    staged = dict(zip(asked.pop("staged"), args.files, strict=True))
    encoder = EncoderOptions(**asked.pop("encoder"))
    profile = asked.pop("engine_profile")
    profile = profile and EngineProfile(**profile, staged=args.engine_profile)
    request = ModelSetRequest(**asked, staged=staged, encoder=encoder, engine_profile=profile)
    checked = check_model_set(request)
    write_json(Path("model_set.json"), checked.model_set)
    write_json(Path("provenance.json"), checked.provenance)
    if checked.trained_set:
        write_json(Path("trained_set.json"), checked.trained_set)


def main(argv: list[str] | None = None) -> int:
    """Return the exit status."""
    parser = task_parser(__doc__)
    parser.add_argument(
        "--files", nargs="*", default=[], type=Path, help="the set's files that the request names"
    )
    parser.add_argument("--engine-profile", type=Path, help="file of virnucpro profile")
    args = parser.parse_args(argv)
    return run_task(check, args)


if __name__ == "__main__":
    sys.exit(main())
