"""virnucpro health: check the installation on this machine, in under a minute.

Checks versions, library, Java, Nextflow, folders, containers, SLURM, GPU and a forward pass. Exit
status: 0 nothing failed, 1 something did.
"""

import argparse
import json
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

from virnucpro.health.check_result import FAIL, OK, SKIP, WARN, CheckResult, Machine
from virnucpro.health.device import check_attention, check_compiler, check_gpu
from virnucpro.health.forward import check_forward
from virnucpro.health.places import check_folders, check_locale, check_shared_memory
from virnucpro.health.programs import (
    check_containers,
    check_java,
    check_nextflow,
    check_slurm,
)
from virnucpro.health.software import check_installed_library, check_packages, check_python
from virnucpro.migration.places import PIPELINE_VARIABLE, checkout, find_pipeline

EXIT_FAILED = 1
# In the order of the report.
CHECKS: tuple[Callable[[Machine], CheckResult | Iterable[CheckResult]], ...] = (
    check_python,
    check_packages,
    check_installed_library,
    check_java,
    check_nextflow,
    check_locale,
    check_folders,
    check_shared_memory,
    check_containers,
    check_slurm,
    check_gpu,
    check_compiler,
    check_attention,
    check_forward,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto",
        help="cuda: a GPU that cannot be used is a failure (default: auto)",
    )  # fmt: skip
    parser.add_argument(
        "--model-set", type=Path, metavar="DIR",
        help="default: the bundled one, whose vectors are known",
    )  # fmt: skip
    parser.add_argument(
        "--pipeline", type=Path, metavar="DIR",
        help=f"checkout to check (default: {PIPELINE_VARIABLE}, else that of the library)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the results of the checks; return 0 or 1.

    Raises: InputError when the named folder is not the pipeline.
    """
    logging.getLogger("virnucpro").setLevel(logging.WARNING)
    named = args.pipeline or os.environ.get(PIPELINE_VARIABLE)
    pipeline = find_pipeline(args.pipeline, os.environ) if named else checkout()
    machine = Machine(pipeline, args.device, args.model_set, os.environ, Path.cwd())
    results: list[CheckResult] = []
    for check in CHECKS:
        checked = check(machine)
        for result in [checked] if isinstance(checked, CheckResult) else checked:
            results.append(result)
            if not args.json:
                print_result(result)
    counts = Counter(result.status for result in results)
    if args.json:
        print(json.dumps([asdict(result) for result in results], indent=2))
    else:
        print(", ".join(f"{counts[status]} {status}" for status in (OK, WARN, FAIL, SKIP)))
    return EXIT_FAILED if counts[FAIL] else 0


def print_result(result: CheckResult) -> None:
    """Print one line, and one more for what to do."""
    print(f"{result.status:5} {result.check:14} {result.found}", flush=True)
    if result.remedy:
        print(f"{'':20} -> {result.remedy}", flush=True)
