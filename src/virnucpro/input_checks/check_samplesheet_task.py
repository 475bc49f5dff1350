"""CHECK_SAMPLESHEET: what --input asks for, as a list of samples.

The pipeline says which files there are, since in a container a task sees nothing but the sheet.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from virnucpro.input_checks.genomes_sheet import check_genomes, genomes_table
from virnucpro.input_checks.samples_sheet import check_samples
from virnucpro.input_checks.sheet import InputRequest


def check_input(
    request: InputRequest, sheet: Path | None, schema: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], str | None]:
    """Return the samples as JSON objects, and for training the table of genomes.

    Args:
        sheet: where the task reads --input, when that is a sheet.
        schema: of its rows.
    Raises: InputError with everything that is wrong, a line each.
    """
    if request.training_frames is None:
        return [asdict(sample) for sample in check_samples(request, sheet, schema)], None
    genomes = check_genomes(request, sheet, schema)
    samples = [asdict(sample) | {"annotation": path} for sample, _, path in genomes]
    return samples, genomes_table(genome for _, genome, _ in genomes)
