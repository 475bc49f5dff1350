"""What a pickle may hold, as plain records, and the calls that rebuild some of it."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Any, TypeVar

from virnucpro.model_import.allow_list import CALLS

MAX_INTEGER = 1 << 48  # sizes, strides and offsets, in elements
MAX_INTEGER_KEY = 1 << 31
MAX_DIMENSIONS = 8
T = TypeVar("T")


class Refused(Exception):
    """The pickle holds something that a checkpoint does not need; the text names it."""


class Damaged(Refused):
    """The bytes are no pickle, or a broken one."""


@dataclass(frozen=True)
class Global:
    """The name of a class or function, never the thing."""

    name: str


@dataclass
class Object:
    """What stays of an object: the name of its class and its attributes."""

    class_name: str
    state: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Storage:
    """`num_elements` numbers of a format, known by a key of the file they lie in."""

    key: str
    dtype: str
    num_elements: int


@dataclass(frozen=True)
class TensorView:
    """A tensor as its place in a storage; first element and strides count elements."""

    storage: Storage
    first: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _rebuild_tensor(name: str, arguments: tuple[Any, ...]) -> TensorView:
    """Check what _rebuild_tensor (4 values) or _rebuild_tensor_v2 (2 more, or 3) is given."""
    if len(arguments) not in ((4,) if name.endswith("tensor") else (6, 7)):
        raise Refused(f"{name} with {len(arguments)} arguments")
    storage, first, shape, strides, *rest = arguments
    expect(storage, Storage, name)
    for sizes in (shape, strides):
        if len(expect(sizes, tuple, name)) > MAX_DIMENSIONS:
            raise Refused(f"a tensor of {len(sizes)} dimensions")
    if len(shape) != len(strides):
        raise Refused(f"a tensor with {len(shape)} sizes and {len(strides)} strides")
    view = TensorView(
        storage, as_count(first), tuple(map(as_count, shape)), tuple(map(as_count, strides))
    )
    if rest[1:] and (rest[1] or rest[2:] not in ([], [None], [{}])):
        raise Refused("a tensor with hooks or with conjugate or negative bits")
    used = prod(view.shape)
    last = view.first + sum(
        (n - 1) * step for n, step in zip(view.shape, view.strides, strict=True)
    )
    # A view that repeats elements would make a small file a large component.
    if used > storage.num_elements or (used and last >= storage.num_elements):
        raise Refused(
            f"a tensor of shape {view.shape}, strides {view.strides}, from element {view.first} "
            f"on, which a storage of {storage.num_elements} elements cannot hold"
        )
    return view


def _rebuild_parameter(name: str, arguments: tuple[Any, ...]) -> TensorView:
    if len(arguments) not in (3, 4):
        raise Refused(f"{name} with {len(arguments)} arguments")
    return expect(arguments[0], TensorView, name)


def _rebuild_size(name: str, arguments: tuple[Any, ...]) -> tuple[int, ...]:
    (sizes,) = _single(name, arguments)
    return tuple(map(as_count, expect(sizes, tuple, name)[: MAX_DIMENSIONS + 1]))


def _rebuild_set(name: str, arguments: tuple[Any, ...]) -> set[Any]:
    (items,) = _single(name, arguments)
    return set(map(as_key, expect(items, list, name)))


def _rebuild_dict(name: str, arguments: tuple[Any, ...]) -> "OrderedDict[str | int, Any]":
    """Return what Python 3 fills by SETITEMS later, and Python 2 gives as a list of pairs."""
    result: OrderedDict[str | int, Any] = OrderedDict()
    if arguments:
        (pairs,) = _single(name, arguments)
        for pair in expect(pairs, list, name):
            if not isinstance(pair, list | tuple) or len(pair) != 2:
                raise Refused(f"{name} of something else than pairs")
            result[as_key(pair[0])] = pair[1]
    return result


REBUILD: dict[str, Callable[[str, tuple[Any, ...]], Any]] = {
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": _rebuild_parameter,
    "torch.Size": _rebuild_size,
    "collections.OrderedDict": _rebuild_dict,
    "builtins.set": _rebuild_set,
    "__builtin__.set": _rebuild_set,
}
assert REBUILD.keys() == set(CALLS)


def _single(name: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(arguments) != 1:
        raise Refused(f"{name} with {len(arguments)} arguments")
    return arguments


def expect(value: Any, kind: type[T], where: str) -> T:
    """Return a value of the type that it must have."""
    if not isinstance(value, kind):
        raise Refused(f"{where} on a {kind_of(value)}")
    return value


def as_key(value: Any) -> str | int:
    """Return a key of a dict or set.

    Others are refused: a nested tuple can take ages to hash, large integers can share one hash.
    """
    if type(value) is not str and not (type(value) is int and abs(value) <= MAX_INTEGER_KEY):
        raise Refused(f"a key that is a {kind_of(value)}")
    key: str | int = value
    return key


def as_count(value: Any) -> int:
    """Return a size, stride or offset."""
    if type(value) is not int or not 0 <= value <= MAX_INTEGER:
        raise Refused("a size, stride or offset that is negative, huge or no integer")
    return value


def kind_of(value: Any) -> str:
    """Return what a value is, for messages."""
    return f"global {value.name}" if isinstance(value, Global) else type(value).__name__


def shown(text: Any) -> str:
    """Return a name out of the file so that it cannot play with the terminal."""
    return str(text)[:200].encode("unicode_escape").decode()
