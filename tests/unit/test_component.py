import pytest
import torch
from safetensors.torch import load_file, save_file

from virnucpro.errors import InputError
from virnucpro.files import file_sha256
from virnucpro.models import dnabert_s, esm2
from virnucpro.models.component import load_component, write_component

CPU = torch.device("cpu")
ESM2 = esm2.Config(1, 16, 2)
DNABERT_S = dnabert_s.Config(1, 24, 3, 32, 50, layer_norm_eps=1e-6)


@pytest.fixture(params=[ESM2, DNABERT_S], ids=["esm2", "dnabert_s"])
def model(request):
    torch.manual_seed(0)
    kind = esm2.ESM2 if request.param is ESM2 else dnabert_s.DnabertS
    return kind(request.param)


@pytest.fixture
def path(tmp_path, model):
    path = tmp_path / "encoder.safetensors"
    write_component(path, model)
    return path


def load(path, dtype=torch.float32):
    return load_component(path, file_sha256(path), CPU, dtype)


def test_what_is_written_is_loaded(path, model):
    loaded = load(path)
    assert type(loaded) is type(model) and loaded.config == model.config
    assert not loaded.training
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name


def test_equal_weights_give_equal_bytes(path, model, tmp_path):
    other = tmp_path / "other.safetensors"
    for _ in range(8):  # the library alone orders the metadata at random
        write_component(other, model)
        assert other.read_bytes() == path.read_bytes()


def test_weights_are_loaded_in_the_precision_asked_for(path, model, tmp_path):
    assert {p.dtype for p in load(path, torch.float16).parameters()} == {torch.float16}
    write_component(tmp_path / "half.safetensors", model, torch.float16)
    assert {p.dtype for p in load(tmp_path / "half.safetensors").parameters()} == {torch.float32}


def test_another_content_is_refused(path):
    with pytest.raises(InputError, match=f"sha256 is {file_sha256(path)}, expected {'0' * 64}"):
        load_component(path, "0" * 64, CPU)


def test_a_missing_file_is_reported(tmp_path):
    with pytest.raises(InputError, match="none.safetensors: cannot be read"):
        load_component(tmp_path / "none.safetensors", "0" * 64, CPU)


def test_a_damaged_file_is_reported(path):
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InputError, match="not a readable safetensors file"):
        load(path)


def test_every_tensor_that_does_not_fit_is_named_with_both_shapes(tmp_path):
    path = tmp_path / "esm2.safetensors"
    write_component(path, esm2.ESM2(ESM2))
    tensors = load_file(path)
    del tensors["layers.0.norm1.bias"]
    tensors["surprise"] = torch.zeros(3)
    tensors["layers.0.fc2.weight"] = torch.zeros(16, 63)
    save_file(
        tensors, path, {"architecture": "esm2", "config": '{"layers":1,"width":16,"heads":2}'}
    )
    with pytest.raises(InputError) as error:
        load(path)
    assert "layers.0.norm1.bias (16,) is missing" in str(error.value)
    assert "surprise (3,) is unexpected" in str(error.value)
    assert "layers.0.fc2.weight has shape (16, 63), expected (16, 64)" in str(error.value)


@pytest.mark.parametrize(
    "metadata, message",
    [
        (None, "architecture is ''"),
        ({"architecture": "bert", "config": "{}"}, "architecture is 'bert', expected one of esm2"),
        ({"architecture": "esm2"}, "config must be a JSON object with layers, width, heads"),
        ({"architecture": "esm2", "config": "{"}, "config must be a JSON object"),
        ({"architecture": "esm2", "config": '{"depth": 3}'}, "config must be .*depth"),
    ],
)
def test_metadata_that_describe_no_model_are_refused(tmp_path, metadata, message):
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.zeros(1)}, path, metadata)
    with pytest.raises(InputError, match=message):
        load(path)
