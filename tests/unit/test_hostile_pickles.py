"""Pickles that try to run something: each is refused by name, and nothing of it runs."""

import copyreg
import io
import pickle
import resource
import struct
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from virnucpro.errors import InputError
from virnucpro.model_import import allow_list
from virnucpro.model_import.pickle_values import Refused
from virnucpro.model_import.restricted_unpickler import read_pickle
from virnucpro.model_import.torch_file import read_torch_file

TOUCH = "touch canary"


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def stack_name(module: str, attribute: str) -> bytes:
    return (
        b"\x8c"
        + bytes([len(module)])
        + module.encode()
        + (b"\x8c" + bytes([len(attribute)]) + attribute.encode() + b"\x93")
    )


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + b"(" + b"".join(arguments) + b"tR"


def tensor(first=0, shape=(2,), strides=(1,), count=2, storage=b"ctorch\nFloatStorage\n") -> bytes:
    """A call of _rebuild_tensor_v2 on a storage of `count` elements."""
    saved_id = b"(" + text("storage") + storage + text("0") + text("cpu") + integer(count) + b"tQ"
    sizes = b"".join(b"(" + b"".join(map(integer, n)) + b"t" for n in (shape, strides))
    hooks = call(name("collections", "OrderedDict"))
    return call(
        name("torch._utils", "_rebuild_tensor_v2"), saved_id, integer(first), sizes, b"\x89", hooks
    )


def integer(value: int) -> bytes:
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def module_object() -> bytes:
    return name("__main__", "MLPClassifier") + b")\x81"


OPEN = (text("canary"), text("w"))
CODE = text("open('canary', 'w')")
ATTACKS = {
    # what it is: (opcodes, what the message must name)
    "os.system": (call(name("os", "system"), text(TOUCH)), "global os.system"),
    "posix.system": (call(name("posix", "system"), text(TOUCH)), "global posix.system"),
    "nt.system": (call(name("nt", "system"), text(TOUCH)), "global nt.system"),
    "os.popen": (call(name("os", "popen"), text(TOUCH)), "global os.popen"),
    "subprocess": (
        call(name("subprocess", "getoutput"), text(TOUCH)),
        "global subprocess.getoutput",
    ),
    "eval": (call(name("builtins", "eval"), CODE), "global builtins.eval"),
    "exec": (call(name("builtins", "exec"), CODE), "global builtins.exec"),
    "eval of Python 2": (call(name("__builtin__", "eval"), CODE), "global __builtin__.eval"),
    "getattr": (call(name("builtins", "getattr"), name("os", "system")), "global builtins.getattr"),
    "open": (call(name("builtins", "open"), *OPEN), "global builtins.open"),
    "io.open": (call(name("io", "open"), *OPEN), "global io.open"),
    "__import__": (call(name("builtins", "__import__"), text("os")), "global builtins.__import__"),
    "importlib": (call(name("importlib", "import_module"), text("os")), "importlib.import_module"),
    "runpy": (call(name("runpy", "run_path"), text("x.py")), "global runpy.run_path"),
    "functools.partial": (
        call(name("functools", "partial"), name("os", "system")),
        "functools.partial",
    ),
    "attrgetter": (call(name("operator", "attrgetter"), text("system")), "operator.attrgetter"),
    "methodcaller": (call(name("operator", "methodcaller"), text("x")), "operator.methodcaller"),
    "torch.load": (call(name("torch", "load"), text("x.pt")), "global torch.load"),
    "torch.hub": (call(name("torch.hub", "load"), text("x")), "global torch.hub.load"),
    "torch.jit": (call(name("torch.jit", "load"), text("x")), "global torch.jit.load"),
    "numpy": (call(name("numpy", "load"), text("x")), "global numpy.load"),
    "pickle in pickle": (call(name("pickle", "loads"), b"C\x01."), "global pickle.loads"),
    "codecs": (call(name("_codecs", "encode"), text("x")), "global _codecs.encode"),
    "types.CodeType": (name("types", "CodeType"), "global types.CodeType"),
    "another class of __main__": (name("__main__", "Net") + b")\x81", "global __main__.Net"),
    "another module of torch": (
        name("torch.nn.modules.module", "Module"),
        "torch.nn.modules.module.Module",
    ),
    "torch's own subclass hook": (
        name("torch._tensor", "_rebuild_from_type_v2"),
        "_rebuild_from_type_v2",
    ),
    "attribute of an attribute": (
        b"\x80\x04" + call(stack_name("torch.serialization", "os.system"), text(TOUCH)),
        "global torch.serialization.os.system",
    ),
    "attribute of a name that is allowed": (
        b"\x80\x04" + stack_name("collections", "OrderedDict.fromkeys"),
        "global collections.OrderedDict.fromkeys",
    ),
    "an allowed name cut elsewhere": (
        b"\x80\x04" + stack_name("torch", "_utils._rebuild_tensor_v2"),
        "global torch._utils._rebuild_tensor_v2",
    ),
    "STACK_GLOBAL of no string": (b"\x80\x04K\x01\x8c\x01a\x93", "STACK_GLOBAL on a int"),
    "INST": (b"(" + text(TOUCH) + b"ios\nsystem\n", "global os.system"),
    "OBJ": (b"(" + name("argparse", "Namespace") + b"o", "opcode OBJ"),
    "a global behind what is refused anyway": (
        b"2" + text("x") + name("os", "system"),
        "global os.system",
    ),
    "several globals": (
        call(name("os", "system"), call(name("builtins", "getattr"), name("os", "system"))),
        "global os.system, builtins.getattr",
    ),
    "extension registry": (b"(" + b"\x82\xf0" + text(TOUCH) + b"tR", "opcode EXT1 for 240"),
    "extension registry, two bytes": (b"\x83\xf0\x01", "opcode EXT2 for 496"),
    "copyreg": (
        call(name("copy_reg", "_reconstructor"), name("os", "system")),
        "copy_reg._reconstructor",
    ),
    "new object with arguments": (
        name("argparse", "Namespace") + b"(" + text(TOUCH) + b"t\x81",
        "a new object of argparse.Namespace with 1 arguments",
    ),
    "new object with keywords": (
        b"\x80\x04" + stack_name("argparse", "Namespace") + b")}\x92",
        "opcode NEWOBJ_EX",
    ),
    "new object of a function": (
        name("torch._utils", "_rebuild_tensor_v2") + b")\x81",
        "a new object of torch._utils._rebuild_tensor_v2",
    ),
    "call of an object's class": (
        call(name("__main__", "MLPClassifier"), text(TOUCH)),
        "a call of __main__.MLPClassifier",
    ),
    "call of an object": (module_object() + b")R", "REDUCE on a PickledObject"),
    "call of a string": (text("os.system") + b")R", "REDUCE on a str"),
    "attributes of a function": (
        name("torch._utils", "_rebuild_tensor_v2") + b"}" + text("__code__") + b"K\x01sb",
        "attributes for a Global",
    ),
    "slots of an object": (
        module_object() + b"(}}" + text("__class__") + name("torch", "Size") + b"stb",
        "BUILD on a tuple",
    ),
    "attributes of a tensor": (tensor() + b"}b", "attributes for a TensorView"),
    "persistent id as text": (b"Pos.system\n", "opcode PERSID for os.system"),
    "persistent id of another kind": (
        b"(" + text("file") + text("canary") + b"tQ",
        "persistent id",
    ),
    "storage of no storage class": (tensor(storage=name("torch", "Size")), "persistent id"),
    "a storage with two sizes": (
        b"(" + tensor() + tensor(count=3) + b"t",
        "two descriptions of the storage 0",
    ),
    "tensor before its storage": (tensor(first=-1), "negative"),
    "tensor behind its storage": (tensor(first=1), "does not fit into a storage of 2 elements"),
    "tensor with negative stride": (tensor(strides=(-1,)), "negative"),
    "tensor that repeats its numbers": (
        tensor(shape=(1 << 40,), strides=(0,)),
        "does not fit into",
    ),
    "tensor of a huge shape": (tensor(shape=(1 << 70,)), "huge"),
    "tensor of many dimensions": (tensor(shape=(1,) * 9, strides=(1,) * 9), "9 dimensions"),
    "tensor on no storage": (
        call(name("torch._utils", "_rebuild_tensor"), text("os"), b"K\x00", b")", b")"),
        "_rebuild_tensor on a str",
    ),
    "parameter of no tensor": (
        call(name("torch._utils", "_rebuild_parameter"), text("os"), b"\x89", b"N"),
        "_rebuild_parameter on a str",
    ),
    "memory of a declared size": (
        call(name("builtins", "bytearray"), integer(8 << 30)),
        "global builtins.bytearray",
    ),
    "key that is slow to hash": (  # 60 tuples of two, each twice in the next
        b"}K\x01" + b"q\x00h\x00\x86" * 60 + b"Ns",
        "a key that is a tuple",
    ),
    "key that shares its hash": (b"}" + integer(1 << 61) + b"Ns", "a key that is a int"),
    "integer that is slow to print": (
        b"\x8b" + struct.pack("<I", 9999) + b"\x7f" * 9999,
        "an integer of",
    ),
    "name with control characters": (
        name("os\x1b[2J", "system"),
        r"global os\\x1b\[2J.system",
    ),
}


def in_zip(path, data):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", data)
        archive.writestr("m/data/0", bytes(8))


def in_legacy(path, data):
    stream = io.BytesIO()
    for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
        pickle.dump(value, stream, protocol=2)
    path.write_bytes(stream.getvalue() + data + pickle.dumps(["0"], 2) + bytes(16))


def in_legacy_system(path, data):
    stream = io.BytesIO()
    for value in (0x1950A86A20F9469CFC6C, 1001):
        pickle.dump(value, stream, protocol=2)
    path.write_bytes(stream.getvalue() + data)


@pytest.mark.parametrize("write", [in_zip, in_legacy, in_legacy_system])
@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_refused_by_name_and_nothing_runs(tmp_path, monkeypatch, write, attack):
    opcodes, words = ATTACKS[attack]
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "evil.pt", b"\x80\x02" + opcodes + b".")
    modules = set(sys.modules)
    with pytest.raises(
        InputError, match=f"evil.pt: refused, it contains .*{words}.*Nothing in it was run. Give"
    ):
        read_torch_file(tmp_path / "evil.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["evil.pt"]
    new = set(sys.modules) - modules
    assert not [module for module in new if not module.startswith("encodings.")]  # of zip names


@pytest.mark.parametrize(
    "data",
    [
        b"cposix\nsystem\n(S'touch canary'\ntR.",  # protocol 0
        b"(S'touch canary'\niposix\nsystem\n.",
        b"cposix\nsystem\n(X\x0c\0\0\0touch canarytR.",
        b"(U\x0ctouch canarylposix",
    ],
)
def test_a_bare_pickle_of_any_protocol_is_refused(tmp_path, monkeypatch, data):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.pt").write_bytes(data)
    words = "global posix.system" if data.endswith(b".") else "is not a file of torch.save"
    with pytest.raises(InputError, match=f"evil.pt: .*{words}"):
        read_torch_file(tmp_path / "evil.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["evil.pt"]


@pytest.mark.parametrize("attack", ["os.system", "eval", "INST", "attribute of an attribute"])
def test_the_attacks_work_on_python_itself(tmp_path, attack):
    (tmp_path / "p").write_bytes(b"\x80\x04" + ATTACKS[attack][0] + b".")
    code = "import torch.serialization, pickle; pickle.load(open('p', 'rb'))"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert (tmp_path / "canary").exists()


def test_a_registered_extension_is_not_looked_up(monkeypatch):
    monkeypatch.setitem(copyreg._extension_cache, 240, pytest.fail)
    with pytest.raises(Refused, match="EXT1 for 240"):
        read_pickle(b"\x80\x02\x82\xf0)R.")


@pytest.mark.parametrize(
    "data, words",
    [
        (b"\x80\x02Nr\xff\xff\xff\xff.", None),  # a memo of 2**32 places
        (b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"x.", "damaged"),  # a terabyte of bytes
        (b"\x80\x02\x8b" + struct.pack("<I", 1 << 30) + b"x.", "damaged"),  # a gigabyte of digits
        (
            b"\x80\x04" + b"(" * 1_000_000 + b"t" * 1_000_000 + b".",
            None,
        ),  # 1e6 tuples, one inside the other
        (b"\x80\x02]" + b"]" * 10_000_000, "more than 4 MiB"),
        (b"\x80\x02I" + b"9" * 1_000_000 + b"\n.", "damaged"),
    ],
)
def test_bombs_cost_neither_memory_nor_time(data, words):
    started = time.process_time()
    if words:
        with pytest.raises(Refused, match=words):
            read_pickle(data)
    else:
        read_pickle(data)
    assert time.process_time() - started < 30
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 3 << 20  # KiB


@pytest.mark.parametrize(
    "data",
    [b"\x80\x02.", b"\x80\x02R.", b"\x80\x02(.", b"\x80\x02h\x07.", b"\x80\x02\x86.", b"\x80\x02N",
     b"\x80\x02Nu.", b"\xff", b"", b"\x80\x02}(Nu.", b"\x80\x02X\x05\x00\x00\x00abc."],
)  # fmt: skip
def test_malformed_pickles_are_refused(data):
    with pytest.raises(Refused):
        read_pickle(data)


def test_nothing_on_the_allow_list_can_be_called_but_what_rebuilds_values():
    assert len(allow_list.ALLOWED) == 22
    callables = set(allow_list.REBUILD)
    assert not callables & {*allow_list.OBJECTS, *allow_list.STORAGES}
    assert not [n for n in allow_list.ALLOWED if n.split(".")[0] in ("os", "posix", "subprocess")]
    assert set(allow_list.as_text().split()) >= allow_list.ALLOWED
    documented = (Path(__file__).parents[2] / "docs/model_sets.md").read_text()
    assert "".join(f"    {line}\n" for line in allow_list.as_text().splitlines()) in documented
