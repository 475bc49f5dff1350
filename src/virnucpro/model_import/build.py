"""Builds a model set: read the sources, check that they fit together, convert, describe."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from virnucpro.errors import InputError
from virnucpro.model_import.classifier_source import plan_classifier
from virnucpro.model_import.convert import component_bytes, convert_component
from virnucpro.model_import.disk_space import check_disk_space
from virnucpro.model_import.dnabert_s_source import check_tokenizer, plan_dnabert_s, tokenizer_of
from virnucpro.model_import.esm2_source import plan_esm2
from virnucpro.model_import.known_files import Identity, identify
from virnucpro.model_import.plan import Plan
from virnucpro.model_import.store import path_in_set, put, put_copy
from virnucpro.model_sets.description import DESCRIPTION, FORMAT, WIDTHS, write_description

LICENCE = "that of the sources, see their authors; ESM-2: MIT, DNABERT-S: Apache-2.0"
T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BuildRequest:
    """What to build.

    Attributes:
        folder: of the new set.
        esm2, dnabert_s, classifier: published files or folders.
        store: folder of components; None for `components` beside the set.
        chunk_bp: that the classifier was trained on; None where the official files say it.
        dtype: of the encoders: "auto", "float32" or "float16".
        force: whether an existing set is replaced.
    """

    folder: Path
    esm2: Path
    dnabert_s: Path
    classifier: Path
    store: Path | None = None
    chunk_bp: int | None = None
    dtype: str = "auto"
    force: bool = False


def build(request: BuildRequest) -> Path:
    """Build a model set; return its modelset.json.

    Raises: InputError naming everything that is wrong with the sources, all at once.
    """
    faults: list[str] = []
    _collect(faults, lambda: _check_target(request))
    planned = {
        "dnabert_s": _collect(faults, lambda: plan_dnabert_s(request.dnabert_s)),
        "esm2": _collect(faults, lambda: plan_esm2(request.esm2)),
        "classifier": _collect(faults, lambda: plan_classifier(request.classifier)),
    }
    plans = {role: plan for role, plan in planned.items() if plan}
    tokenizer = _collect(faults, lambda: tokenizer_of(request.dnabert_s))
    if "dnabert_s" in plans and tokenizer:
        vocab_size = plans["dnabert_s"].config["vocab_size"]
        _collect(faults, lambda: check_tokenizer(tokenizer, vocab_size))
    if plans.keys() == planned.keys():
        _collect(faults, lambda: _check_width_sum(request, plans))
    if "classifier" in plans:
        identity = identify(request.classifier)
        chunk_bp = _collect(faults, lambda: _chunk_length(request.chunk_bp, identity))
    if faults:
        raise InputError("\n".join(faults))
    assert tokenizer and chunk_bp
    return _write(request, plans, tokenizer, chunk_bp)


def _collect(faults: list[str], check: Callable[[], T]) -> T | None:
    """Return the result of a check, or None after adding its InputError to the faults."""
    try:
        return check()
    except InputError as error:
        faults.append(str(error))
        return None


def _check_target(request: BuildRequest) -> None:
    folder = request.folder
    if (folder / DESCRIPTION).exists():
        if not request.force:
            raise InputError(f"{folder}: is a model set already. Choose another -o, or --force.")
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: exists and is not a model set. Choose another -o.")


def _check_width_sum(request: BuildRequest, plans: dict[str, Plan]) -> None:
    dna, protein, taken = (plans[role].width for role in ("dnabert_s", "esm2", "classifier"))
    if dna + protein != taken:
        raise InputError(
            f"{request.dnabert_s} gives {dna} numbers a frame and {request.esm2} {protein}, "
            f"together {dna + protein}; {request.classifier} takes {taken}. They do not belong "
            "together: the original's classifiers take 768 of DNABERT-S and 2560 of ESM-2 3B."
        )


def _chunk_length(requested: int | None, classifier: Identity) -> int:
    known = classifier.chunk_bp
    if known is not None and requested not in (None, known):
        raise InputError(
            f"--chunk-length {requested}: {classifier.path} was trained on chunks of {known}. Omit "
            "--chunk-length, or give the other classifier."
        )
    chunk_bp = known or requested
    if chunk_bp is None:
        raise InputError(
            f"{classifier.path}: is an unknown classifier. Give --chunk-length, the length of the "
            "chunks that it was trained on."
        )
    return chunk_bp


def _write(request: BuildRequest, plans: dict[str, Plan], tokenizer: Path, chunk_bp: int) -> Path:
    """Convert the components, then write modelset.json; return it."""
    store = request.store or request.folder.parent / "components"
    dtypes = {role: plan.dtype(request.dtype) for role, plan in plans.items()}
    dtypes["classifier"] = "float32"  # small, and scores are computed with it
    check_disk_space(
        store,
        sum(component_bytes(plan, dtypes[role]) for role, plan in plans.items()),
        "the set",
        "choose another --store, or build with --dtype float16",
    )
    components: dict[str, dict[str, Any]] = {}
    for role, plan in plans.items():
        for note in plan.notes:
            log.info("%s: %s", plan.files[0], note)
        write = partial(convert_component, plan=plan, dtype=dtypes[role])
        components[role] = {
            **_entry(request, put(store, ".safetensors", write), plan.files),
            "architecture": plan.architecture,
            "dtype": dtypes[role],
            WIDTHS[role]: plan.width,
        }
    components["tokenizer"] = _entry(request, put_copy(store, tokenizer), (tokenizer,))
    request.folder.mkdir(parents=True, exist_ok=True)
    description = {
        "format": FORMAT,
        "name": request.folder.absolute().name,
        "made_by": f"virnucpro models build, version {version('virnucpro')}",
        "chunk_bp": [chunk_bp],
        "frame_rule": "open",
        "licence": LICENCE,
        "components": components,
        "calibration": None,
        "measured": None,
    }
    write_description(request.folder, description)
    return request.folder / DESCRIPTION


def _entry(request: BuildRequest, file: Path, sources: tuple[Path, ...]) -> dict[str, Any]:
    """Return what modelset.json says of any component."""
    identities = [identify(source) for source in sources]
    first = identities[0]
    log.info("%s: %s, sha256 %s", first.path, first.known_as, first.sha256)
    return {
        "file": path_in_set(file, request.folder),
        "sha256": file.stem,
        "source": {
            "known_as": first.known_as,
            "files": [
                {
                    "name": i.path.name,
                    "bytes": i.num_bytes,
                    "sha256": i.sha256,
                    "known_as": i.known_as,
                }
                for i in identities
            ],
        },
    }
