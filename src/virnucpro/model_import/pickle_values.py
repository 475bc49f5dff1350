"""The values that a pickle may contain, as plain records, and the calls that rebuild them."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Any, TypeVar

MAX_INTEGER = 1 << 48  # sizes, strides and offsets, in elements
MAX_INTEGER_KEY = 1 << 31
MAX_DIMENSIONS = 8
T = TypeVar("T")


class Refused(Exception):
    """The pickle contains something that a checkpoint does not need; the text names it."""


class Damaged(Refused):
    """The bytes are not a pickle, or a damaged one."""


@dataclass(frozen=True)
class Global:
    """The name of a class or function; the class or function itself is never looked up."""

    name: str


@dataclass
class PickledObject:
    """An object as the name of its class and its attributes, without any behaviour."""

    class_name: str
    state: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Storage:
    """`num_elements` numbers of a dtype, under a key of the file that has them."""

    key: str
    dtype: str
    num_elements: int


@dataclass(frozen=True)
class TensorView:
    """A tensor as a part of a storage; `first` and `strides` count elements."""

    storage: Storage
    first: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _rebuild_tensor(name: str, arguments: tuple[Any, ...]) -> TensorView:
    """Check the arguments of _rebuild_tensor (4) or _rebuild_tensor_v2 (6 or 7)."""
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
    num_elements = prod(view.shape)
    last = view.first + sum(
        (n - 1) * step for n, step in zip(view.shape, view.strides, strict=True)
    )
    # A view that repeats elements would turn a small file into a large component.
    if num_elements > storage.num_elements or (num_elements and last >= storage.num_elements):
        raise Refused(
            f"a tensor of shape {view.shape}, strides {view.strides}, from element {view.first}, "
            f"which does not fit into a storage of {storage.num_elements} elements"
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
    """Return an OrderedDict: Python 2 passes a list of pairs, Python 3 fills it by SETITEMS."""
    result: OrderedDict[str | int, Any] = OrderedDict()
    if arguments:
        (pairs,) = _single(name, arguments)
        for pair in expect(pairs, list, name):
            if not isinstance(pair, list | tuple) or len(pair) != 2:
                raise Refused(f"{name} of values that are not pairs")
            result[as_key(pair[0])] = pair[1]
    return result


# Every call that a checkpoint may make, and the function of this module that stands in for it.
REBUILD: dict[str, Callable[[str, tuple[Any, ...]], Any]] = {
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": _rebuild_parameter,
    "torch.Size": _rebuild_size,
    "collections.OrderedDict": _rebuild_dict,
    "builtins.set": _rebuild_set,
    "__builtin__.set": _rebuild_set,  # as protocol 2 spells it
}


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
        raise Refused("a size, stride or offset that is negative, huge or not an integer")
    return value


def kind_of(value: Any) -> str:
    """Return what a value is, for messages."""
    return f"global {value.name}" if isinstance(value, Global) else type(value).__name__


def printable(text: Any) -> str:
    """Return a name from the file with control characters escaped, for messages."""
    return str(text)[:200].encode("unicode_escape").decode()
