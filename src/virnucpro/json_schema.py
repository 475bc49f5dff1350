"""What of a JSON value does not fit a schema, in words for users."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from virnucpro.errors import excerpt


class Misfit(NamedTuple):
    """One fault: keys and indices from the top to the value, joined by dots; what it must be."""

    place: str
    cause: str


def misfits(schema: Mapping[str, Any], value: Any) -> list[Misfit]:
    """Return every fault of a value once, in the order of the schema.

    The cause is the schema's own `errorMessage` where there is one.
    """
    faults = (
        f for error in Draft202012Validator(schema).iter_errors(value) for f in _faults(error)
    )
    return list(dict.fromkeys(faults))


def _faults(error: ValidationError) -> Iterator[Misfit]:
    path = [str(part) for part in error.absolute_path]
    if error.validator == "required":
        for name in error.validator_value:
            if name not in error.instance:
                yield Misfit(".".join([*path, name]), "missing")
    else:
        cause = error.schema.get("errorMessage") or excerpt(error.message, 200)
        yield Misfit(".".join(path), cause)
