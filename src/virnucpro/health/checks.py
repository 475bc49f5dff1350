"""All checks, in the order of the report."""

from collections.abc import Callable, Iterable, Iterator

from virnucpro.health.check_result import CheckResult, Machine
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


def run_checks(machine: Machine) -> Iterator[CheckResult]:
    """Yield the results of each check as it ends."""
    for check in CHECKS:
        results = check(machine)
        yield from [results] if isinstance(results, CheckResult) else results
