"""Builds a model set: read what was given, see that it fits, convert, describe."""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from virnucpro.errors import InputError
from virnucpro.model_import.classifier_source import plan_classifier
from virnucpro.model_import.convert import check_written, component_bytes, write_component
from virnucpro.model_import.dnabert_s_source import check_tokenizer, plan_dnabert_s, tokenizer_of
from virnucpro.model_import.esm2_source import plan_esm2
from virnucpro.model_import.known_files import Identity, identify
from virnucpro.model_import.plan import Plan
from virnucpro.model_import.store import check_space, put, put_copy, reference
from virnucpro.model_sets.description import description_text

UNKNOWN = "unknown"
LICENCE = "that of the sources, see their authors; ESM-2: MIT, DNABERT-S: Apache-2.0"
T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What to build.

    Attributes:
        folder: of the new set; store: of components.
        esm2, dnabert_s, classifier: published files or folders.
        chunk_bp: None for the classifier's own, where it is known.
        dtype: of the encoders: "auto", "float32" or "float16".
        force: whether an existing set is replaced.
    """

    folder: Path
    store: Path
    esm2: Path
    dnabert_s: Path
    classifier: Path
    chunk_bp: int | None
    dtype: str
    force: bool


def build(request: Request) -> Path:
    """Build a model set; return its modelset.json.

    Raises: InputError naming everything that is wrong with what was given, all at once.
    """
    faults: list[str] = []
    _collect(faults, lambda: _check_target(request))
    plans = {
        "dnabert_s": _collect(faults, lambda: plan_dnabert_s(request.dnabert_s)),
        "esm2": _collect(faults, lambda: plan_esm2(request.esm2)),
        "classifier": _collect(faults, lambda: plan_classifier(request.classifier)),
    }
    tokenizer = _collect(faults, lambda: tokenizer_of(request.dnabert_s))
    found = {role: plan for role, plan in plans.items() if plan}
    dnabert_s, classifier = plans["dnabert_s"], plans["classifier"]
    if dnabert_s and tokenizer:
        vocab_size = dnabert_s.config["vocab_size"]
        _collect(faults, lambda: check_tokenizer(tokenizer, vocab_size))
    if len(found) == len(plans):
        _collect(faults, lambda: _check_widths(request, found))
    if classifier:
        identity = identify(request.classifier)
        chunk_bp = _collect(faults, lambda: _chunk_length(request.chunk_bp, identity))
    if faults:
        raise InputError("\n".join(faults))
    assert tokenizer and chunk_bp
    return _write(request, found, tokenizer, chunk_bp)


def _collect(faults: list[str], ask: Callable[[], T]) -> T | None:
    """Return the answer, or None when it is a fault of the user, which is added to the list."""
    try:
        return ask()
    except InputError as error:
        faults.append(str(error))
        return None


def _check_target(request: Request) -> None:
    folder = request.folder
    if not folder.exists():
        return
    if not (folder / "modelset.json").exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: exists and is no model set. Choose another -o.")
    if (folder / "modelset.json").exists() and not request.force:
        raise InputError(f"{folder}: there is a model set. Choose another -o, or --force.")


def _check_widths(request: Request, plans: dict[str, Plan]) -> None:
    dna, protein, given = (plans[role].width for role in ("dnabert_s", "esm2", "classifier"))
    if dna + protein != given:
        raise InputError(
            f"{request.dnabert_s} gives {dna} numbers a frame and {request.esm2} {protein}, "
            f"together {dna + protein}; {request.classifier} takes {given}. They do not belong "
            "together: the original's classifiers take 768 of DNABERT-S and 2560 of ESM-2 3B."
        )


def _chunk_length(wanted: int | None, classifier: Identity) -> int:
    known = classifier.known.chunk_bp if classifier.known else None
    if known is None and wanted is None:
        raise InputError(
            f"{classifier.path}: is an unknown classifier. Give --chunk-length, the length of the "
            "chunks that it was trained on."
        )
    if known is not None and wanted is not None and known != wanted:
        raise InputError(
            f"--chunk-length {wanted}: {classifier.path} was trained on chunks of {known}. Leave "
            "--chunk-length out, or give the other classifier."
        )
    return known or wanted or 0


def _write(request: Request, plans: dict[str, Plan], tokenizer: Path, chunk_bp: int) -> Path:
    """Convert the components, then write modelset.json."""
    dtypes = {role: plan.dtype(request.dtype) for role, plan in plans.items()}
    dtypes["classifier"] = "float32"  # small, and what scores are made of
    check_space(
        request.store, sum(component_bytes(plan, dtypes[role]) for role, plan in plans.items())
    )
    components: dict[str, dict[str, Any]] = {}
    for role, plan in plans.items():
        for note in plan.notes:
            log.info("%s: %s", plan.files[0], note)
        write = partial(write_component, plan=plan, dtype=dtypes[role])
        file = put(request.store, ".safetensors", write)
        check_written(file, plan, dtypes[role])
        width = "input_width" if role == "classifier" else "width"
        components[role] = {
            **_entry(request, file, plan.files),
            "architecture": plan.architecture,
            "dtype": dtypes[role],
            width: plan.width,
        }
    components["tokenizer"] = _entry(request, put_copy(request.store, tokenizer), (tokenizer,))
    description = {
        "format": 1,
        "name": request.folder.absolute().name,
        "made_by": f"virnucpro models build, version {version('virnucpro')}",
        "chunk_bp": [chunk_bp],
        "frame_rule": "open",
        "licence": LICENCE,
        "components": components,
        "thresholds": None,
        "calibration": None,
        "measured": None,
    }
    return _write_description(request.folder, description)


def _entry(request: Request, file: Path, sources: tuple[Path, ...]) -> dict[str, Any]:
    """Return what modelset.json says of any component."""
    identities = [identify(source) for source in sources]
    known_as = [i.known.name if i.known else UNKNOWN for i in identities]
    log.info("%s: %s, sha256 %s", sources[0], known_as[0], identities[0].sha256)
    return {
        "file": reference(file, request.folder),
        "sha256": file.stem,
        "source": {
            "known_as": known_as[0],
            "files": [
                {"name": i.path.name, "bytes": i.num_bytes, "sha256": i.sha256, "known_as": name}
                for i, name in zip(identities, known_as, strict=True)
            ],
        },
    }


def _write_description(folder: Path, description: dict[str, Any]) -> Path:
    """Write modelset.json, and so the set, at once."""
    text = description_text(description)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    target = folder / "modelset.json"
    if target.exists():
        temporary.write_text(text)
        temporary.replace(target)
        return target
    temporary.mkdir(parents=True)
    (temporary / target.name).write_text(text)
    temporary.replace(folder)
    return target
