"""CHECK_MODEL_SET: what a run uses of a model set, or at once all that is wrong with its choice.

The pipeline says which of the set's files are there, and stages the small ones: in a container a
task sees nothing else. The rules are here.
"""

import os.path
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from virnucpro.errors import InputError, excerpt
from virnucpro.input_checks.engine_options import EncoderOptions, EngineProfile, encoder_options
from virnucpro.model_sets.calibration_entries import load_entry
from virnucpro.model_sets.certificates import certificate_fault
from virnucpro.model_sets.description import (
    DESCRIPTION,
    Component,
    ModelSet,
    is_compact,
    read_model_set,
)
from virnucpro.model_sets.rules import FRAME_RULES, FrameRule
from virnucpro.sequences.translation import OPEN_RULE

ENCODER_ROLES = ("dnabert_s", "tokenizer", "esm2")  # what a trained set shares with its base


@dataclass(frozen=True)
class ModelSetRequest:
    """What the pipeline asks; parameters are None where they are not given.

    Attributes:
        model_set: folder of the set, as the user gave it; folder: its absolute path.
        paths: file as modelset.json names it -> its real path, for files that are there.
        faults: the same name -> why it cannot be read or staged.
        staged: the same name -> where the task reads it, for the small ones.
        known_sets: names that may be given in place of a folder.
        encoder: options of the encoders; engine_profile: in place of some of them.
        set_name: of the set that --workflow train makes; None: the run predicts.
        outdir: real path.
    """

    model_set: str
    folder: str
    paths: Mapping[str, str]
    faults: Mapping[str, str]
    staged: Mapping[str, Path]
    encoder: EncoderOptions
    pipeline_version: str
    outdir: str
    engine_profile: EngineProfile | None = None
    known_sets: Sequence[str] = ()
    rna: bool = False
    min_length: int = 0
    max_length: int | None = None
    weights_dir: str | None = None
    chunk_length: int | None = None
    allow_chunk_length_mismatch: bool = False
    frame_rule: str | None = None
    viral_prior: float | None = None
    set_name: str | None = None


@dataclass(frozen=True)
class CheckedSet:
    """What a run uses, as JSON objects.

    Attributes:
        model_set: for the pipeline and for pipeline_info/model_set.json: provenance, and where the
            files are.
        provenance: for provenance.json of each sample: names and digests, no path.
        trained_set: what modelset.json of a trained set will say of itself and of its encoders;
            None when the run predicts.
    """

    model_set: dict[str, Any]
    provenance: dict[str, Any]
    trained_set: dict[str, Any] | None


def check_model_set(request: ModelSetRequest) -> CheckedSet:
    """Return what the run uses.

    Raises: InputError with everything that is wrong, a line each.
    """
    where = f"--model_set {request.model_set}"
    if DESCRIPTION in request.faults:
        raise InputError(f"{where}: {DESCRIPTION} {request.faults[DESCRIPTION]}.")
    if DESCRIPTION not in request.staged:
        raise InputError(
            f"{where}: there is no {DESCRIPTION} in it. Give the folder of a model set, or "
            f"a name: {', '.join(request.known_sets)}."
        )
    model_set = read_model_set(Path(request.folder), request.staged[DESCRIPTION])
    chunk_bp, rule = request.chunk_length or model_set.chunk_bp[0], model_set.frame_rule
    if request.frame_rule:
        rule = rule._replace(name=request.frame_rule)
    faults = [
        *_missing_files(model_set, request),
        *_setting_faults(model_set, request, chunk_bp, rule),
        *certificate_fault(model_set, request.encoder.precision),
    ]
    encoders, encoder_faults = encoder_options(model_set, request.encoder, request.engine_profile)
    calibration, calibration_faults = _calibration_in_use(model_set, request, chunk_bp, rule)
    faults += encoder_faults + calibration_faults
    if faults:
        raise InputError("\n  ".join([f"{where}:", *faults]))
    provenance = _provenance(model_set, request, rule, calibration)
    in_use = {
        **provenance,
        "folder": request.folder,
        "weights_dir": request.weights_dir,
        "files": {c.role: _location(c, request) for c in model_set.components},
        "chunk_bp": chunk_bp,
        "note": _note(model_set, chunk_bp),
        "calibration_file": calibration["path"] if calibration else None,
        "encoders": {role: asdict(options) for role, options in encoders.items()},
        "description": model_set.description,
    }
    trained = _trained_set(model_set, request, chunk_bp, rule) if request.set_name else None
    return CheckedSet(in_use, provenance, trained)


def _missing_files(model_set: ModelSet, request: ModelSetRequest) -> list[str]:
    if request.weights_dir:
        return _same_names(model_set)
    faults = []
    for component in model_set.components:
        file = component.entry["file"]
        if file in request.faults:
            faults.append(f"{component.role}: {file} {request.faults[file]}.")
        if file in request.paths:
            continue
        remedy = "Copy the whole folder again"
        if file.startswith("../"):
            store = os.path.normpath(PurePosixPath(request.folder, file).parent)
            remedy = f"The set refers to a store of components beside it: copy {store} too"
        faults.append(
            f"{component.role}: {excerpt(file, 200)} is missing. {remedy}, or give --weights_dir."
        )
    return faults


def _same_names(model_set: ModelSet) -> list[str]:
    """Return a line for each two components that would be one file in the folder of weights."""
    roles_by_name: dict[str, list[str]] = {}
    for component in model_set.components:
        roles_by_name.setdefault(PurePosixPath(component.entry["file"]).name, []).append(
            component.role
        )
    return [
        f"{' and '.join(roles)} are both called {name}: --weights_dir cannot hold both."
        for name, roles in roles_by_name.items()
        if len(roles) > 1
    ]


def _setting_faults(
    model_set: ModelSet, request: ModelSetRequest, chunk_bp: int, rule: FrameRule
) -> list[str]:
    faults = []
    # encoders read chunks of any length; a new classifier is for those that it is trained on
    any_length = request.allow_chunk_length_mismatch or request.set_name
    if not (any_length or chunk_bp in model_set.chunk_bp):
        faults.append(
            f"--chunk_length {chunk_bp}: the model set {excerpt(model_set.name)} was trained on "
            f"{', '.join(map(str, model_set.chunk_bp))} bp. Use one of these, another --model_set, "
            "or --allow_chunk_length_mismatch."
        )
    if rule.name not in FRAME_RULES:
        faults.append(
            f"Model set {excerpt(model_set.name)} requires the frame rule '{excerpt(rule.name)}', "
            "which this version does not have. Set --frame_rule open to use the original's."
        )
    if request.max_length is not None and request.min_length > request.max_length:
        faults.append(
            f"--min_length {request.min_length} is more than --max_length {request.max_length}: no "
            "sequence has such a length."
        )
    if request.set_name and "://" in request.outdir:
        faults.append(
            f"--outdir {request.outdir}: the new model set refers to files of this machine. Train "
            "into a local folder, and copy the set and its components."
        )
    return faults


def _calibration_in_use(
    model_set: ModelSet, request: ModelSetRequest, chunk_bp: int, rule: FrameRule
) -> tuple[dict[str, Any] | None, list[str]]:
    """Return path, sha256 and prior of the calibration in force, and what is wrong with it.

    A calibration holds only for the chunks that it was made with.
    """
    if request.set_name:
        return None, []
    entries = model_set.calibrations
    entry = next((e for e in entries if (e.chunk_bp, e.frame_rule) == (chunk_bp, rule.name)), None)
    if entry is None:
        if request.viral_prior is None:
            return None, []
        return None, [
            f"--viral_prior {request.viral_prior}: the model set {excerpt(model_set.name)} is not "
            f"calibrated for chunks of {chunk_bp} bp and the frame rule {excerpt(rule.name)} "
            f"(it is for: {excerpt('; '.join(map(str, entries)) or 'nothing', 200)}), so its "
            "scores are not probabilities. Omit it."
        ]
    where = f"calibration for {entry}: "
    if entry.file in request.faults:
        return None, [f"{where}{entry.file} {request.faults[entry.file]}."]
    staged = request.staged.get(entry.file)
    if staged is None:
        return None, [f"{where}{excerpt(entry.file, 200)} is missing. Copy the whole folder again."]
    try:
        calibration = load_entry(model_set, entry, staged)
    except InputError as error:
        return None, [where + str(error).replace(str(staged), f"{request.folder}/{entry.file}")]
    prior = calibration.viral_prior if request.viral_prior is None else request.viral_prior
    path = request.paths[entry.file]
    return {"path": path, "sha256": entry.sha256, "viral_prior": prior}, []


def _note(model_set: ModelSet, chunk_bp: int) -> str | None:
    """Return what a user must know of results by this set, on one line."""
    if not is_compact(model_set):
        return None
    official = f"virnucpro-{300 if chunk_bp == 300 else 500}"  # the two of assets/models.toml
    return (
        f"Model set {model_set.name} is too small for analysis: it is for trying the pipeline out. "
        f"Get the official weights with `virnucpro models fetch {official} -o models/{official}`, "
        f"then add --model_set models/{official}"
    )


def _location(component: Component, request: ModelSetRequest) -> dict[str, Any]:
    """Return where a component's file is: to stage (`path`), or where tasks find it (`at`)."""
    file = component.entry["file"]
    at = f"{request.weights_dir}/{PurePosixPath(file).name}" if request.weights_dir else None
    return {"path": None if at else request.paths[file], "at": at, "sha256": component.sha256}


def _provenance(
    model_set: ModelSet,
    request: ModelSetRequest,
    rule: FrameRule,
    calibration: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return names and digests, no place."""
    note: dict[str, Any] = {
        "model_set": model_set.name,
        "model_set_digest": model_set.digest,
        "components": {c.role: c.sha256 for c in model_set.components},
        "frame_rule": rule.name,
        "rna": request.rna,
        "pipeline_version": request.pipeline_version,
    }
    if request.min_length:
        note["min_length"] = request.min_length
    if request.max_length is not None:
        note["max_length"] = request.max_length
    if rule.name != OPEN_RULE:
        note["min_residues"] = rule.min_residues
    if calibration:
        note["calibration"] = calibration["sha256"]
        note["viral_prior"] = calibration["viral_prior"]
    return note


def _trained_set(
    model_set: ModelSet, request: ModelSetRequest, chunk_bp: int, rule: FrameRule
) -> dict[str, Any]:
    """Return what the new set says of itself; its encoders stay where those of its base are."""
    licence = model_set.description.get("licence") or "as the base set"
    return {
        "name": request.set_name,
        "base": {"name": model_set.name, "digest": model_set.digest},
        "components": {
            role: model_set.component(role).entry | {"file": _reference(model_set, role, request)}
            for role in ENCODER_ROLES
        },
        "chunk_bp": chunk_bp,
        "frame_rule": rule.name if rule.name == OPEN_RULE else rule.as_json(),
        "licence": f"encoders: {licence}; classifier: yours",
        "pipeline_version": request.pipeline_version,
    }


def _reference(model_set: ModelSet, role: str, request: ModelSetRequest) -> str:
    """Return how the new set names a file of its base: relative if both can be moved together."""
    file = model_set.component(role).entry["file"]
    target = request.paths.get(file) or os.path.normpath(PurePosixPath(request.folder, file))
    place = PurePosixPath(request.outdir, str(request.set_name))
    together = PurePosixPath(target).parts[1:2] == place.parts[1:2]
    return os.path.relpath(target, place) if together else target
