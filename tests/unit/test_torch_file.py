"""Files of torch.save, read without torch, against what torch saved."""

import argparse
import io
import pickle
import random
import warnings
import zipfile
from collections import OrderedDict

import pytest
import torch

from virnucpro.errors import InputError
from virnucpro.model_import.pickle_values import PickledObject
from virnucpro.model_import.torch_file import read_torch_file, state_of_module

CONTAINERS = pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])


def save(value, path, *, is_zip, protocol=2):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # legacy files want the source of classes
        torch.save(value, path, _use_new_zipfile_serialization=is_zip, pickle_protocol=protocol)
    return path


@pytest.fixture
def state():
    torch.manual_seed(1)
    base = torch.randn(6, 4)
    return OrderedDict(
        view=base[1:3, :2],
        tied_to_view=base,
        transposed=base.t(),
        half=torch.randn(3).half(),
        bfloat16=torch.randn(5, 2).bfloat16(),
        double=torch.randn(2).double(),
        counter=torch.tensor(3),
        empty=torch.empty(0, 3),
        parameter=torch.nn.Parameter(torch.ones(2)),
    )


@CONTAINERS
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_tensors_and_configuration_are_read(tmp_path, state, is_zip, protocol):
    config = argparse.Namespace(heads=20, name="ESM", rate=1.5, parts=[(1, None), {"a": True}])
    value = {"cfg": {"model": config}, "model": state}
    file = read_torch_file(save(value, tmp_path / "f.pt", is_zip=is_zip, protocol=protocol))
    assert file.value["cfg"]["model"] == PickledObject("argparse.Namespace", vars(config))
    tensors = file.tensors(file.value["model"])
    assert list(tensors) == list(state)
    for name, tensor in state.items():
        expected = tensor.detach().float() if name == "bfloat16" else tensor.detach()
        numbers = torch.from_numpy(tensors[name].read())
        assert numbers.dtype == expected.dtype and torch.equal(numbers, expected), name


class MLPClassifier(torch.nn.Module):
    __module__ = "__main__"

    def __init__(self):
        super().__init__()
        self.hidden_layer = torch.nn.Linear(3, 2)
        self.bn1 = torch.nn.BatchNorm1d(2)
        self.dropout = torch.nn.Dropout(0.5)


@CONTAINERS
def test_a_whole_module_is_read_as_its_state_dict(tmp_path, is_zip, monkeypatch):
    monkeypatch.setattr("__main__.MLPClassifier", MLPClassifier, raising=False)
    model = MLPClassifier()
    file = read_torch_file(save(model, tmp_path / "f.pth", is_zip=is_zip))
    assert file.value.class_name == "__main__.MLPClassifier"
    assert file.value.state["_modules"]["bn1"].state["eps"] == 1e-5
    tensors = file.tensors(state_of_module(file.value))
    assert tensors.keys() == model.state_dict().keys()
    assert all(
        torch.equal(torch.from_numpy(tensors[n].read()), t) for n, t in model.state_dict().items()
    )


def rezip(path, out, change, **options):
    """Copy a zip archive; `change` gets (name, content) and returns a list of such pairs."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w", **options) as new:
        warnings.simplefilter("ignore")
        for entry in old.infolist():
            for name, content in change(entry.filename, old.read(entry)):
                new.writestr(name, content)
    return out


def twice(name, content):
    return [(name, content)] * (2 if name.endswith("/data/0") else 1)


def two_pickles(name, content):
    return (
        [(name, content), ("other/data.pkl", content)] if "data.pkl" in name else [(name, content)]
    )


def torchscript(name, content):
    return [(name, content), ("f/constants.pkl", b"")] if "data.pkl" in name else [(name, content)]


def big_endian(name, content):
    return [(name, b"big" if name.endswith("byteorder") else content)]


def missing_storage(name, content):
    return [] if name.endswith("/data/0") else [(name, content)]


def short_storage(name, content):
    return [(name, content[:-4] if name.endswith("/data/0") else content)]


def huge_pickle(name, content):
    return [(name, content.ljust(5 << 20) if "data.pkl" in name else content)]


def unchanged(name, content):
    return [(name, content)]


@pytest.mark.parametrize(
    "change, words, options",
    [
        (twice, "the zip entry 'f/data/0' twice", {}),
        (two_pickles, "2 files data.pkl, expected NAME/data.pkl alone", {}),
        (torchscript, "a TorchScript program .f/constants.pkl.", {}),
        (big_endian, "numbers in big-endian order", {}),
        (missing_storage, "storage '0' has 0 bytes, its tensors need 96", {}),
        (short_storage, "storage '0' has 92 bytes, its tensors need 96", {}),
        (huge_pickle, "a pickle of more than 4 MiB", {}),
        (unchanged, "which is compressed", {"compression": zipfile.ZIP_DEFLATED}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_odd_zip_archives_are_refused(tmp_path, state, change, words, options):
    path = save({"t": state["tied_to_view"]}, tmp_path / "f.pt", is_zip=True)
    bad = rezip(path, tmp_path / "bad.pt", change, **options)
    with pytest.raises(InputError, match=f"bad.pt: .*{words}"):
        read_torch_file(bad)


def test_an_encrypted_archive_is_refused(tmp_path, state):
    path = save({"t": state["view"]}, tmp_path / "f.pt", is_zip=True)
    data = bytearray(path.read_bytes())
    central = data.index(b"PK\1\2")
    data[central + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match="is encrypted"):
        read_torch_file(path)


@CONTAINERS
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.9995])
def test_a_file_cut_short_is_refused_by_name(tmp_path, state, is_zip, share):
    path = save(state, tmp_path / "cut.pt", is_zip=is_zip)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError, match="cut.pt: "):
        read_torch_file(path)


@CONTAINERS
@pytest.mark.filterwarnings("ignore:invalid escape")  # a damaged STRING opcode, in pickletools
def test_damaged_bytes_give_a_message_or_a_value_never_a_traceback(tmp_path, state, is_zip):
    path = save({"model": state}, tmp_path / "f.pt", is_zip=is_zip)
    data, rng = path.read_bytes(), random.Random(5)
    outcomes = set()
    for _ in range(600):
        changed = bytearray(data)
        for _ in range(rng.choice((1, 1, 2, 8))):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        path.write_bytes(changed)
        try:
            file = read_torch_file(path)
            outcomes.add("read")
            if isinstance(file.value, dict) and isinstance(file.value.get("model"), dict):
                for tensor in file.tensors(file.value["model"]).values():
                    tensor.read()
        except InputError:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "is not a file of torch.save"),
        (b"\x93NUMPY", "is not a file of torch.save"),
        (b"PK\x03\x04" + bytes(100), "not a readable zip archive"),
        (pickle.dumps({"a": 1}), "a bare pickle, not a file of torch.save"),
        (pickle.dumps(0x1950A86A20F9469CFC6C) + pickle.dumps(7), "an unknown version"),
    ],
)
def test_other_files_are_refused(tmp_path, content, words):
    path = tmp_path / "f.pt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words):
        read_torch_file(path)


def test_big_endian_legacy_files_are_refused(tmp_path):
    path = tmp_path / "f.pt"
    stream = io.BytesIO()
    for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": False}, {}, []):
        pickle.dump(value, stream, protocol=2)
    path.write_bytes(stream.getvalue())
    with pytest.raises(InputError, match="big-endian"):
        read_torch_file(path)
