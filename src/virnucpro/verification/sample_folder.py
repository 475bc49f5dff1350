"""A sample's folder: its files are those of the manifest, and its tables fit together."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from virnucpro.calls.manifest import MANIFEST_FILE, read_manifest
from virnucpro.calls.summarise_task import SUMMARY_COLUMNS
from virnucpro.errors import InputError
from virnucpro.files import file_sha256
from virnucpro.verification.sample_tables import UNSCORED, SampleTables

TABLES = {
    "prediction_results.txt", "prediction_results_highestscore.csv", "sequences.tsv",
    "contigs.tsv", "chunks.tsv", "regions.bed", "regions.gff3", "viral.fasta", "provenance.json",
}  # fmt: skip
ENCODERS = ("dnabert_s", "esm2")


def file_faults(folder: Path) -> Iterator[str]:
    """Yield what is wrong with the files of a sample, by its manifest."""
    try:
        manifest = read_manifest(folder)
    except InputError as error:
        yield str(error)
        return
    for name in sorted(TABLES - manifest.keys()):
        yield f"{name} is not in {MANIFEST_FILE}"
    for name, entry in manifest.items():
        path = folder / name
        try:
            num_bytes = path.stat().st_size
            if num_bytes != entry.num_bytes:
                yield f"{name} has {num_bytes} bytes, {MANIFEST_FILE} {entry.num_bytes}"
            elif file_sha256(path) != entry.sha256:
                yield f"{name} has another sha256 than in {MANIFEST_FILE}"
        except FileNotFoundError:
            target = f", a link to {path.readlink()}," if path.is_symlink() else ""
            yield f"{name}{target} is missing"
        except OSError as error:
            yield f"{name} cannot be read ({error.strerror})"
    for name in _relative_paths(folder):
        if name not in manifest and name != MANIFEST_FILE:
            yield f"{name} is not in {MANIFEST_FILE}"


def content_faults(
    folder: Path, summary: Mapping[str, str], of_run: Mapping[str, Any]
) -> Iterator[str]:
    """Yield where the content of a sample's files disagrees with itself or with the run.

    Args:
        folder: whose files are those of its manifest.
        summary: row of summary.tsv.
        of_run: pipeline_info/model_set.json.
    """
    try:
        provenance = json.loads((folder / "provenance.json").read_bytes())
        chunk_bp = int(provenance["chunk_bp"])
    except (ValueError, TypeError, KeyError) as error:
        yield f"provenance.json is malformed ({error!r})"
        return
    for key, value in {**of_run, "sample": folder.name}.items():
        if key in provenance and provenance[key] != value:
            yield (
                f"provenance.json has {key} {provenance[key]}, "
                f"{'the folder' if key == 'sample' else 'pipeline_info/model_set.json'} {value}"
            )
    if provenance.get("model_set_digest") != summary.get("model_set_digest"):
        yield (
            f"provenance.json has model_set_digest {provenance.get('model_set_digest')}, "
            f"summary.tsv {summary.get('model_set_digest')}"
        )
    try:
        counts = SampleTables(folder, chunk_bp).count()
    except (InputError, UnicodeDecodeError) as error:
        yield str(error)
        return
    for column in SUMMARY_COLUMNS:
        written, counted = summary.get(column), counts.get(column, 0)
        if written != str(counted):
            yield f"summary.tsv has {column} {written or 'empty'}, the tables {counted}"
    num_frames = counts.get("frames", 0) + counts.get(UNSCORED, 0)
    yield from _embedding_faults(folder / "embeddings", num_frames)


def _embedding_faults(folder: Path, num_frames: int) -> Iterator[str]:
    """Yield encoders whose files together do not have a row for each frame."""
    if not folder.is_dir():
        return
    import h5py

    for encoder in ENCODERS:
        num_vectors = 0
        for path in sorted(folder.glob(f"*.{encoder}.h5")):
            with h5py.File(path) as file:
                num_vectors += len(file["ids"])
        if num_vectors != num_frames:
            yield f"embeddings: {num_vectors} vectors of {encoder} for {num_frames} frames"


def _relative_paths(folder: Path) -> list[str]:
    """Return all files below a folder, hidden ones too, as relative paths."""
    return sorted(
        Path(parent, name).relative_to(folder).as_posix()
        for parent, _, names in os.walk(folder)
        for name in names
    )
