"""Reads a pickle as data: an interpreter of the opcodes that checkpoints need, and of no others.

Python's own unpickler imports what a file names and calls it. This one imports and calls nothing:
a global is a string that must be on the allow-list, an object is its class name and a dict, a
tensor is the place of its numbers. `pickletools.genops` does the parsing. It is not a subclass of
pickle.Unpickler, which still sets attributes of whatever find_class returns, looks into the
extension registry, and sizes its memo by a number in the file.

torch.load(weights_only=True, mmap=True) was tried instead (torch 2.11). It runs nothing either, but
fails these tests of test_hostile_pickles.py and test_torch_file.py: its allow-list always has
bytearray, so that 451 bytes take 8 GiB of memory ("memory of a declared size"); it hashes any key,
26 nested tuples in 3 s and twice that for each more ("key that is slow to hash"); a storage cut
short is filled with the bytes that follow it in the file ("short_storage"); a compressed pickle of
4 MB is inflated to 4 GiB ("unchanged"); protocols 4 and 5 are not read, legacy files not mapped.
"""

import io
import pickletools
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from virnucpro.model_import.allow_list import ALLOWED, OBJECTS, STORAGES
from virnucpro.model_import.pickle_values import (
    REBUILD,
    Damaged,
    Global,
    PickledObject,
    Refused,
    Storage,
    as_count,
    as_key,
    expect,
    kind_of,
    printable,
)

MAX_PICKLE_BYTES = 4 << 20  # that of ESM-2 3B has 0.1 MB; each byte can cost 70 bytes of memory
MAX_SHOWN = 10  # names in a message
MAX_INTEGER_BITS = 128  # the magic number of the legacy format has 77


@dataclass(frozen=True)
class Content:
    """The value of a pickle, the storages that it names, and its size in the file."""

    value: Any
    storages: dict[str, Storage]
    num_bytes: int


def read_pickle(data: bytes) -> Content:
    """Return the content of the first pickle in `data`; bytes after it are not looked at.

    Raises: Refused, naming the globals or the opcode; Damaged, when it cannot be parsed.
    """
    _refuse_globals(data)
    machine = _Machine()
    stream = io.BytesIO(data[:MAX_PICKLE_BYTES])
    try:
        for opcode, argument, _ in pickletools.genops(stream):
            if opcode.name == "STOP":
                return Content(machine.result(), machine.storages, stream.tell())
            machine.step(opcode.name, argument)
    except (ValueError, IndexError, KeyError) as error:
        if len(data) > MAX_PICKLE_BYTES:
            raise Refused(f"a pickle of more than {MAX_PICKLE_BYTES >> 20} MiB") from error
        raise Damaged("a damaged pickle") from error
    raise AssertionError("genops ends with STOP or raises")


def _refuse_globals(data: bytes) -> None:
    """Refuse the globals that the pickle names literally, all at once, before interpreting it."""
    names = []
    with suppress(ValueError):  # read_pickle reports damage
        for opcode, argument, _ in pickletools.genops(data[:MAX_PICKLE_BYTES]):
            if opcode.name in ("GLOBAL", "INST"):
                names.append(str(argument).replace(" ", ".", 1))
    if refused := [printable(name) for name in dict.fromkeys(names) if name not in ALLOWED]:
        more = f" and {len(refused) - MAX_SHOWN} more" if len(refused) > MAX_SHOWN else ""
        raise Refused(f"the global {', '.join(refused[:MAX_SHOWN])}{more}")


class _Machine:
    """The stack, the memo, and one method for each opcode."""

    def __init__(self) -> None:
        self.storages: dict[str, Storage] = {}
        self._stack: list[Any] = []
        self._marked: list[list[Any]] = []  # stacks below each mark
        self._memo: dict[int, Any] = {}

    def step(self, opcode: str, argument: Any) -> None:
        """Interpret one opcode."""
        if opcode in PUSHED:
            if isinstance(argument, int) and argument.bit_length() > MAX_INTEGER_BITS:
                raise Refused(f"an integer of {argument.bit_length()} bits")
            self._stack.append(argument)
        elif opcode in NEW:
            self._stack.append(NEW[opcode]())
        elif opcode in PUT:
            self._memo[argument] = self._stack[-1]
        elif opcode in GET:
            self._stack.append(self._memo[argument])
        elif opcode in TUPLES:
            items = [self._stack.pop() for _ in range(TUPLES[opcode])]
            self._stack.append(tuple(reversed(items)))
        elif opcode not in IGNORED:
            method: Callable[[Any], None] | None = getattr(self, f"_{opcode.lower()}", None)
            if method is None:
                name = f" for {printable(argument)}" if argument is not None else ""
                raise Refused(f"the opcode {opcode}{name}, which no checkpoint needs")
            method(argument)

    def result(self) -> Any:
        """Return the value on top of the stack."""
        return self._stack[-1]

    def _pop_to_mark(self) -> list[Any]:
        items, self._stack = self._stack, self._marked.pop()
        return items

    def _pop(self, _: Any) -> None:
        self._stack.pop()

    def _mark(self, _: Any) -> None:
        self._marked.append(self._stack)
        self._stack = []

    def _pop_mark(self, _: Any) -> None:
        self._pop_to_mark()

    def _memoize(self, _: Any) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def _list(self, _: Any) -> None:
        items = self._pop_to_mark()
        self._stack.append(items)

    def _tuple(self, _: Any) -> None:
        items = self._pop_to_mark()
        self._stack.append(tuple(items))

    def _dict(self, _: Any) -> None:
        items = self._pop_to_mark()
        self._stack.append({})
        self._set_items(items)

    def _append(self, _: Any) -> None:
        item = self._stack.pop()
        expect(self._stack[-1], list, "APPEND").append(item)

    def _appends(self, _: Any) -> None:
        items = self._pop_to_mark()
        expect(self._stack[-1], list, "APPENDS").extend(items)

    def _setitem(self, _: Any) -> None:
        value = self._stack.pop()
        self._set_items([self._stack.pop(), value])

    def _setitems(self, _: Any) -> None:
        self._set_items(self._pop_to_mark())

    def _set_items(self, items: list[Any]) -> None:
        target = expect(self._stack[-1], dict, "SETITEMS")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[as_key(key)] = value

    def _additems(self, _: Any) -> None:
        items = self._pop_to_mark()
        expect(self._stack[-1], set, "ADDITEMS").update(map(as_key, items))

    def _global(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._name(module, name)

    def _stack_global(self, _: Any) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self._name(expect(module, str, "STACK_GLOBAL"), expect(name, str, "STACK_GLOBAL"))

    def _name(self, module: str, name: str) -> None:
        full = f"{module}.{name}"
        if full not in ALLOWED or "." in name:
            raise Refused(f"the global {printable(full)}")
        self._stack.append(Global(full))

    def _reduce(self, _: Any) -> None:
        arguments = expect(self._stack.pop(), tuple, "REDUCE")
        name = expect(self._stack.pop(), Global, "REDUCE").name
        if name not in REBUILD:
            raise Refused(f"a call of {name}")
        self._stack.append(REBUILD[name](name, arguments))

    def _newobj(self, _: Any) -> None:
        arguments = expect(self._stack.pop(), tuple, "NEWOBJ")
        name = expect(self._stack.pop(), Global, "NEWOBJ").name
        if name not in OBJECTS or arguments:
            raise Refused(f"a new object of {name} with {len(arguments)} arguments")
        self._stack.append(PickledObject(name))

    def _build(self, _: Any) -> None:
        state = expect(self._stack.pop(), dict, "BUILD")
        target = self._stack[-1]
        if isinstance(target, PickledObject):
            target.state.update(state)
        elif not isinstance(target, OrderedDict):  # whose attributes, _metadata, are not needed
            raise Refused(f"attributes for a {type(target).__name__}")

    def _binpersid(self, _: Any) -> None:
        match self._stack.pop():
            case ("storage", Global(name), str(key), str(), count, *view) if name in STORAGES:
                if view not in ([], [None]):
                    raise Refused("a view of a storage, as torch wrote them before 0.4")
                storage = Storage(key, STORAGES[name], as_count(count))
                if self.storages.setdefault(key, storage) != storage:
                    raise Refused(f"two descriptions of the storage {printable(key)}")
                self._stack.append(storage)
            case ("module", Global(_) as name, _, _):  # a class with its source, in legacy files
                self._stack.append(name)
            case other:
                raise Refused(f"a persistent id that is not a storage ({kind_of(other)})")


NEW: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
}
PUSHED = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING"),  # as Python 2 has them
    *("BINBYTES", "SHORT_BINBYTES"),
    *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
}
PUT, GET = {"PUT", "BINPUT", "LONG_BINPUT"}, {"GET", "BINGET", "LONG_BINGET"}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
IGNORED = {"PROTO", "FRAME"}
