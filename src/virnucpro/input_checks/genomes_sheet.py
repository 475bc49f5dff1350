"""The training sheet as a list of genomes, or at once all that is wrong with it.

What a cell may contain is in assets/schema_train.json.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple
from pathlib import Path, PurePosixPath
from typing import Any

from virnucpro.errors import InputError, excerpt
from virnucpro.input_checks.sheet import (
    InputRequest,
    SheetSample,
    path_fault,
    read_sheet,
    row_faults,
)
from virnucpro.training.genomes import GENOMES_HEADER, Genome

CODING = "coding"  # a value of --training_frames


def check_genomes(
    request: InputRequest, sheet: Path | None, schema: Mapping[str, Any]
) -> list[tuple[SheetSample, Genome, str | None]]:
    """Return each genome in sheet order: as a sample, its row, and the path of its annotation.

    Args:
        sheet: where the task reads --input.
    Raises: InputError with everything that is wrong, a line each.
    """
    where = f"--input {request.input}"
    if not sheet:
        columns = ",".join(schema["items"]["required"])
        raise InputError(
            f"{where}: is not a sheet. Training takes one, CSV or TSV: "
            f"{columns}[,annotation][,split]."
        )
    content = read_sheet(sheet, request.input)
    _check_columns(where, content.columns, schema)
    faults = list(content.faults)
    genomes = []
    for number, row in enumerate(content.rows, start=1):
        paths = {name: request.paths.get(row.get(name, "")) for name in ("fasta", "annotation")}
        cell_faults = [
            *row_faults(row, schema),
            *(
                fault
                for name in paths
                if row.get(name)
                if (fault := path_fault(request, row[name]))
            ),
            *_coding_faults(row, request),
        ]
        faults += [
            f"row {number} ({excerpt(row['id']) or 'no id'}): {fault}" for fault in cell_faults
        ]
        annotation = paths["annotation"]
        genome = Genome(
            row["id"], row["label"], row["class"], row["group"], row.get("split", ""),
            PurePosixPath(annotation).name if annotation else "",
        )  # fmt: skip
        genomes.append(
            (SheetSample(row["id"], [paths["fasta"] or ""], "0", {}), genome, annotation)
        )
    users: dict[str, list[str]] = {}  # real path -> genomes
    for row in content.rows:
        users.setdefault(request.real_paths.get(row["fasta"], row["fasta"]), []).append(row["id"])
    faults += [f"{' and '.join(map(excerpt, ids))} have the same fasta: keep one row"
               for ids in users.values() if len(ids) > 1]  # fmt: skip
    faults += _name_faults([(genome.id, annotation) for _, genome, annotation in genomes])
    if faults:
        raise InputError("\n  ".join([f"{where}:", *faults]))
    return genomes


def genomes_table(genomes: Iterable[Genome]) -> str:
    """Return the text that PREPARE_TRAINING reads."""
    return GENOMES_HEADER + "".join("\t".join(astuple(genome)) + "\n" for genome in genomes)


def _check_columns(where: str, columns: Sequence[str], schema: Mapping[str, Any]) -> None:
    known, needed = schema["items"]["properties"], schema["items"]["required"]
    missing = [name for name in needed if name not in columns]
    unknown = [name for name in columns if name not in known]
    if missing or unknown:
        parts = [f"is without {', '.join(missing)}"] if missing else []
        parts += [f"has the unknown {excerpt(', '.join(unknown), 200)}"] if unknown else []
        raise InputError(
            f"{where}: the first line of a training sheet names the columns {', '.join(needed)}, "
            f"and may name annotation and split; this one {' and '.join(parts)}."
        )


def _coding_faults(row: Mapping[str, str], request: InputRequest) -> list[str]:
    needs = request.training_frames == CODING and row.get("split") not in ("val", "test")
    if needs and not row.get("annotation"):
        return ["--training_frames coding needs its annotation, GFF3 or GenBank"]
    return []


def _name_faults(genomes: Sequence[tuple[str, str | None]]) -> list[str]:
    """Return which ids are used twice, and which annotations differ but for their name."""
    counts = Counter(name.lower() for name, _ in genomes)
    faults = [
        f"more than one row has the id '{excerpt(name)}'" for name, n in counts.items() if n > 1
    ]
    users: dict[str, dict[str, str]] = {}  # file name -> path -> a genome
    for name, path in genomes:
        if path:
            users.setdefault(PurePosixPath(path).name, {}).setdefault(path, name)
    return faults + [
        f"the annotations of {' and '.join(map(excerpt, names.values()))} are different files of "
        f"one name, {file}: rename one"
        for file, names in users.items()
        if len(names) > 1
    ]
