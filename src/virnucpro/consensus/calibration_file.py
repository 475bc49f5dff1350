"""Calibration files (docs/model_sets.md): written, and read with every value checked.

A number is a JSON number, never a string or a boolean. A fault is reported with its place, as in
`bins.2.rates.delta: does not rise from -1`.
"""

import hashlib
import json
import operator
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from virnucpro.consensus.calibrator import (
    Bin,
    Calibration,
    Curve,
    Isotonic,
    MadeFor,
    Rates,
    Temperature,
)
from virnucpro.errors import InputError, excerpt

FORMAT = 1
METHODS: dict[str, type[Temperature] | type[Isotonic]] = {
    "temperature": Temperature,
    "isotonic": Isotonic,
}
LARGEST = 1e300  # of a number; JSON has larger integers, which no float can hold


def to_json(calibration: Calibration) -> str:
    """Return the text of a calibration file."""
    names = {kind: name for name, kind in METHODS.items()}
    bins = [
        {"min_chunks": b.min_chunks, "method": names[type(b.curve)], **asdict(b.curve),
         "rates": asdict(b.rates)}
        for b in calibration.bins
    ]  # fmt: skip
    content = {
        "format": FORMAT,
        "made_for": asdict(calibration.made_for) if calibration.made_for else None,
        "viral_prior": calibration.viral_prior,
        "threshold": calibration.threshold,
        "bins": bins,
        "measured": calibration.measured,
    }
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def load_calibration(
    path: Path, sha256: str | None = None, made_for: MadeFor | None = None
) -> Calibration:
    """Read a calibration file.

    Args:
        path: of the file.
        sha256: that it must have, in either case; None: any.
        made_for: what it must have been made for; None: anything.
    Raises: InputError for a file that cannot be read, is another than the model set names,
        malformed, or made for something else.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror or error}). Copy it again, or calibrate the "
            "model set again."
        ) from error
    if sha256 and (file_digest := hashlib.sha256(content).hexdigest()) != sha256.lower():
        raise InputError(
            f"{path}: sha256 is {file_digest[:12]}…, the model set says {sha256[:12]}…. The "
            "file is damaged or was replaced: copy it again, or calibrate the model set again."
        )
    try:
        calibration = _calibration(json.loads(content, parse_constant=_refuse_constant))
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: is not a calibration of format {FORMAT} ({error}). Copy it again, or "
            "calibrate the model set again."
        ) from error
    if made_for and (differences := _differences(calibration.made_for, made_for)):
        raise InputError(
            f"{path}: was made for {'; '.join(differences)}. Calibrate the model set again."
        )
    return calibration


def _differences(stated: MadeFor | None, wanted: MadeFor) -> list[str]:
    """Return in which points a calibration is for something else."""
    if stated is None:
        return ["no model set that it names"]
    pairs = [(name, getattr(stated, name), getattr(wanted, name))
             for name in ("chunk_bp", "frame_rule", "min_residues")]  # fmt: skip
    differences = [
        f"{name} {excerpt(ascii(a))}, the set has {b!a}" for name, a, b in pairs if a != b
    ]
    for role, sha256 in wanted.components.items():
        if (stated_sha256 := stated.components.get(role, "none")) != sha256:
            differences.append(
                f"another {role} ({stated_sha256[:12]!a}, the set has {sha256[:12]!a})"
            )
    return differences


def _calibration(content: Any) -> Calibration:
    """Return the calibration; ValueError with place and cause for anything else."""
    _check(isinstance(content, dict), "it", "is not a JSON object")
    _check(content.get("format") == FORMAT, "format", f"is {excerpt(repr(content.get('format')))}")
    entries = _member("", content, "bins")
    _check(isinstance(entries, list), "bins", "is not a list")
    bins = tuple(_bin(f"bins.{k}", entry) for k, entry in enumerate(entries))
    min_chunks = [b.min_chunks for b in bins]
    _check(min_chunks[:1] == [1] and _rises(min_chunks, strictly=True),
           "bins", f"start at {min_chunks} chunks, not at 1 and then ascending")  # fmt: skip
    prior, threshold = (_number("", content, name) for name in ("viral_prior", "threshold"))
    for name, value in (("viral_prior", prior), ("threshold", threshold)):
        _check(0 < value < 1, name, f"{content[name]} is not between 0 and 1")
    measured = content.get("measured") or {}
    _check(isinstance(measured, dict), "measured", "is not a JSON object")
    return Calibration(bins, prior, threshold, _made_for(content.get("made_for")), measured)


def _made_for(entry: Any) -> MadeFor | None:
    if entry is None:
        return None
    place = "made_for"
    chunk_bp, rule, components = (
        _member(place, entry, name) for name in ("chunk_bp", "frame_rule", "components")
    )
    min_residues = entry.get("min_residues")
    _check(_is_count(chunk_bp), f"{place}.chunk_bp", "must be an integer >= 1")
    _check(isinstance(rule, str), f"{place}.frame_rule", "is not a string")
    _check(min_residues is None or _is_count(min_residues), f"{place}.min_residues",
           "must be an integer >= 1")  # fmt: skip
    _check(isinstance(components, dict), f"{place}.components", "is not a JSON object")
    for role, sha256 in components.items():
        _check(
            isinstance(sha256, str), f"{place}.components.{excerpt(ascii(role))}", "is not a string"
        )
    sums = {role: sha256.lower() for role, sha256 in components.items()}
    return MadeFor(chunk_bp, rule, min_residues, sums)


def _bin(place: str, entry: Any) -> Bin:
    min_chunks = _member(place, entry, "min_chunks")
    _check(_is_count(min_chunks), f"{place}.min_chunks", "must be an integer >= 1")
    method = _member(place, entry, "method")
    _check(
        method in tuple(METHODS),
        f"{place}.method",
        f"{excerpt(repr(method))} is not {' or '.join(METHODS)}",
    )
    curve = _temperature(place, entry) if method == "temperature" else _isotonic(place, entry)
    return Bin(min_chunks, curve, _rates(f"{place}.rates", _member(place, entry, "rates")))


def _temperature(place: str, entry: Any) -> Curve:
    temperature, bias = (_number(place, entry, name) for name in ("temperature", "bias"))
    _check(temperature > 0, f"{place}.temperature", f"{temperature} is not above 0")
    return Temperature(temperature, bias)


def _isotonic(place: str, entry: Any) -> Curve:
    delta, p_virus = (_numbers(place, entry, name) for name in ("delta", "p_virus"))
    _check(
        len(delta) == len(p_virus) > 0, place, "delta and p_virus differ in length, or are empty"
    )
    _check(_rises(delta, strictly=True), f"{place}.delta", "does not rise")
    _check(_rises(p_virus), f"{place}.p_virus", "falls")
    _check(p_virus[0] > 0 and p_virus[-1] < 1, f"{place}.p_virus", "reaches 0 or 1")
    return Isotonic(delta, p_virus)


def _rates(place: str, entry: Any) -> Rates:
    rates = Rates(*(_numbers(place, entry, name) for name in ("delta", "viral", "nonviral")))
    _check(len(rates.delta) == len(rates.viral) == len(rates.nonviral) > 0,
           place, "delta, viral and nonviral differ in length, or are empty")  # fmt: skip
    _check(rates.delta[0] == -1 and _rises(rates.delta, strictly=True),
           f"{place}.delta", "does not rise from -1")  # fmt: skip
    for name, shares in (("viral", rates.viral), ("nonviral", rates.nonviral)):
        _check(_rises(shares[::-1]) and shares[0] <= 1 and shares[-1] >= 0,
               f"{place}.{name}", "does not fall from 1 to 0")  # fmt: skip
    _check(rates.nonviral[-1] > 0, f"{place}.nonviral", "reaches 0")
    return rates


def _member(place: str, entry: Any, name: str) -> Any:
    """Return a member that must be there; `place` of the entry is "" at the top."""
    _check(isinstance(entry, dict), place or "it", "is not a JSON object")
    _check(name in entry, _at(place, name), "is missing")
    return entry[name]


def _at(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _numbers(place: str, entry: Any, name: str) -> tuple[float, ...]:
    values = _member(place, entry, name)
    _check(isinstance(values, list), f"{place}.{name}", "is not a list")
    return tuple(_as_number(f"{place}.{name}", value) for value in values)


def _number(place: str, entry: Any, name: str) -> float:
    return _as_number(_at(place, name), _member(place, entry, name))


def _as_number(place: str, value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    _check(is_number and abs(value) <= LARGEST, place, f"{json.dumps(value)[:40]} is not a number")
    return float(value)


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 1


def _rises(numbers: Sequence[float], *, strictly: bool = False) -> bool:
    """Return whether each is at least the one before, or with `strictly` above it."""
    return all(map(operator.lt if strictly else operator.le, numbers, numbers[1:]))


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON number")


def _check(is_met: bool, place: str, fault: str) -> None:
    if not is_met:
        raise ValueError(f"{place}: {fault}")
