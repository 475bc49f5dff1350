"""Files of torch.save, zip and legacy format, read without running anything in them."""

import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from virnucpro.errors import InputError
from virnucpro.model_import.pickle_values import (
    Damaged,
    PickledObject,
    Refused,
    Storage,
    TensorView,
)
from virnucpro.model_import.restricted_unpickler import MAX_PICKLE_BYTES, Content, read_pickle
from virnucpro.model_import.stored_tensor import DTYPES, StoredTensor

ZIP_START = b"PK\x03\x04"
LOCAL_HEADER_BYTES = 30  # of a zip entry, before its name and extra field
LITTLE = b"little"
ENCRYPTED = 1  # bit of a zip entry's flags
# What zipfile raises for damaged archives, beside OSError.
ZIP_ERRORS = (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError, struct.error)
LEGACY_MAGIC, LEGACY_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
DAMAGED = "The file is cut short or damaged: copy it again."


@dataclass(frozen=True)
class TorchFile:
    """The content of a file, and where its storages are.

    Attributes:
        path: of the file.
        value: what was saved; tensors are TensorView, objects PickledObject.
        offsets: storage key -> place of its first byte in the file.
    """

    path: Path
    value: Any
    offsets: Mapping[str, int]

    def tensors(self, mapping: Mapping[str | int, Any]) -> dict[str, StoredTensor]:
        """Return the tensors among the values of a state dict."""
        views = {str(name): v for name, v in mapping.items() if isinstance(v, TensorView)}
        return {name: self._stored(view) for name, view in views.items()}

    def _stored(self, view: TensorView) -> StoredTensor:
        storage = view.storage
        start = self.offsets[storage.key] + view.first * DTYPES[storage.dtype].itemsize
        return StoredTensor(self.path, start, storage.dtype, view.shape, view.strides)


def read_torch_file(path: Path) -> TorchFile:
    """Read the structure of a file of torch.save; its numbers stay in it.

    Raises: InputError naming the file, and the global or the fault for which it is refused.
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(len(ZIP_START))
            stream.seek(0)
            if start == ZIP_START:
                return _read_zip(path, stream)
            return _read_legacy(path, stream)
    except Refused as error:
        raise InputError(
            f"{path}: refused, it contains {error}. Nothing in it was run. Give the published "
            "file, or weights in safetensors."
        ) from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from error


def state_of_module(value: PickledObject) -> dict[str | int, Any]:
    """Return parameters and buffers of a module and its direct children, as a state dict."""
    state: dict[str | int, Any] = {}
    children = value.state.get("_modules")
    modules: dict[str | int, Any] = {"": value, **(children if isinstance(children, dict) else {})}
    for prefix, module in modules.items():
        for kind in ("_parameters", "_buffers"):
            tensors = module.state.get(kind) if isinstance(module, PickledObject) else None
            if isinstance(tensors, dict):
                state |= {f"{prefix}.{name}".lstrip("."): v for name, v in tensors.items()}
    return state


def _read_zip(path: Path, stream: BinaryIO) -> TorchFile:
    """Read the format of torch 1.6 and later: NAME/data.pkl beside NAME/data/KEY."""
    try:
        with zipfile.ZipFile(stream) as archive:
            entries = _entries(archive)
            pickles = [name for name in entries if name.rpartition("/")[2] == "data.pkl"]
            prefix = pickles[0].removesuffix("data.pkl") if pickles else ""
            code = [n for n in entries if n == f"{prefix}constants.pkl" or "/code/" in f"/{n}"]
            if code:
                raise Refused(f"a TorchScript program ({code[0]}); give the file of weights")
            if len(pickles) != 1 or prefix.count("/") > 1:
                raise Refused(f"{len(pickles)} files data.pkl, expected NAME/data.pkl alone")
            order = entries.get(f"{prefix}byteorder")
            if order and (order.file_size != len(LITTLE) or archive.read(order) != LITTLE):
                raise Refused("numbers in big-endian order")
            if entries[pickles[0]].file_size > MAX_PICKLE_BYTES:
                raise Refused(f"a pickle of more than {MAX_PICKLE_BYTES >> 20} MiB")
            content = read_pickle(archive.read(pickles[0]))
    except ZIP_ERRORS as error:
        raise InputError(f"{path}: not a readable zip archive ({error}). {DAMAGED}") from error
    offsets = {}
    for key, storage in content.storages.items():
        entry = entries.get(f"{prefix}data/{key}")
        expected = storage.num_elements * DTYPES[storage.dtype].itemsize
        if entry is None or entry.file_size != expected:
            raise _wrong_size(path, storage, entry.file_size if entry else 0)
        offsets[key] = _start_of_data(path, stream, entry)
    return TorchFile(path, content.value, offsets)


def _entries(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the entries by name; torch stores each once, uncompressed."""
    entries: dict[str, zipfile.ZipInfo] = {}
    for entry in archive.infolist():
        name = entry.filename
        if name in entries:
            raise Refused(f"the zip entry {ascii(name)} twice")
        if entry.flag_bits & ENCRYPTED:
            raise Refused(f"the zip entry {ascii(name)}, which is encrypted")
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
            raise Refused(f"the zip entry {ascii(name)}, which is compressed")
        entries[name] = entry
    return entries


def _start_of_data(path: Path, stream: BinaryIO, entry: zipfile.ZipInfo) -> int:
    """Return the place of an entry's first byte, behind a local header that may be padded."""
    stream.seek(entry.header_offset)
    header = stream.read(LOCAL_HEADER_BYTES)
    name_length = int.from_bytes(header[26:28], "little")
    start = stream.tell() + name_length + int.from_bytes(header[28:30], "little")
    size = stream.seek(0, 2)
    if not header.startswith(ZIP_START) or start + entry.file_size > size:
        raise InputError(f"{path}: zip entry {ascii(entry.filename)} is missing. {DAMAGED}")
    return start


def _read_legacy(path: Path, stream: BinaryIO) -> TorchFile:
    """Read the format before torch 1.6: five pickles, then size and numbers of each storage."""
    try:
        magic = _next_pickle(stream).value
    except Damaged as error:
        raise InputError(
            f"{path}: is not a file of torch.save. Give the published file as it is."
        ) from error
    if magic != LEGACY_MAGIC:
        raise Refused("a bare pickle, not a file of torch.save")
    if _next_pickle(stream).value != LEGACY_PROTOCOL:
        raise Refused("an unknown version of torch's legacy format")
    system = _next_pickle(stream).value
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise Refused("numbers in big-endian order")
    content = _next_pickle(stream)
    keys = _next_pickle(stream).value
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise Refused("a list of storages that is not a list of keys")
    if sorted(keys) != sorted(content.storages):
        raise Refused("a list of storages that are not those of its tensors")
    offsets = {}
    size = path.stat().st_size
    for key in keys:
        storage = content.storages[key]
        size_field = stream.read(8)
        written = int.from_bytes(size_field, "little") if len(size_field) == 8 else -1
        num_bytes = storage.num_elements * DTYPES[storage.dtype].itemsize
        offsets[key] = stream.tell()
        rest = size - stream.tell()
        if written != storage.num_elements or rest < num_bytes:
            actual = min(max(written, 0) * DTYPES[storage.dtype].itemsize, rest)
            raise _wrong_size(path, storage, actual)
        stream.seek(num_bytes, 1)
    return TorchFile(path, content.value, offsets)


def _next_pickle(stream: BinaryIO) -> Content:
    start = stream.tell()
    content = read_pickle(stream.read(MAX_PICKLE_BYTES + 1))
    stream.seek(start + content.num_bytes)
    return content


def _wrong_size(path: Path, storage: Storage, actual: int) -> InputError:
    expected = storage.num_elements * DTYPES[storage.dtype].itemsize
    return InputError(
        f"{path}: storage {ascii(storage.key)} has {actual} bytes, its tensors need {expected}. "
        f"{DAMAGED}"
    )
