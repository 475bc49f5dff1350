"""Published weights as people have them: one file, or a Hugging Face folder, sharded or not."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from virnucpro.errors import InputError
from virnucpro.model_import.pickle_values import PickledObject
from virnucpro.model_import.safetensors_file import read_safetensors
from virnucpro.model_import.stored_tensor import StoredTensor
from virnucpro.model_import.torch_file import read_torch_file, state_of_module
from virnucpro.model_sets.json_file import read_json

# What a folder may have, best first: safetensors files need no allow-list.
FOLDER_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
LAYER_NORM_NAMES = {"gamma": "weight", "beta": "bias"}


@dataclass(frozen=True)
class Weights:
    """Tensors of a published model, still on disk.

    Attributes:
        path: as the user gave it.
        files: those with the tensors, and config.json if there is one.
        config: content of the folder's config.json; empty without one, and for a file.
        tensors: by their published names.
        saved: the value in a file of torch.save, None for other files.
    """

    path: Path
    files: tuple[Path, ...]
    config: dict[str, Any]
    tensors: dict[str, StoredTensor]
    saved: Any = None


def read_weights(path: Path) -> Weights:
    """Find and read the weights of a file or folder.

    Raises: InputError naming the file.
    """
    if path.is_dir():
        return _read_folder(path)
    if not path.exists():
        raise InputError(f"{path}: there is no such file or folder.")
    tensors, saved = _read_file(path)
    return Weights(path, (path,), {}, tensors, saved)


def with_config_beside(weights: Weights) -> Weights:
    """Return the weights of a file with the config.json of its folder, if there is one."""
    files, config = _with_config(weights.files[0].parent, [weights.files[0]])
    return replace(weights, files=files, config=config) if not weights.config else weights


def _read_folder(folder: Path) -> Weights:
    file = next((folder / name for name in FOLDER_FILES if (folder / name).exists()), None)
    if file is None:
        raise InputError(f"{folder}: has no weights. Expected one of {', '.join(FOLDER_FILES)}.")
    shards = _shards(file) if file.suffix == ".json" else [file]
    tensors: dict[str, StoredTensor] = {}
    for shard in shards:
        new, _ = _read_file(shard)
        if repeated := sorted(tensors.keys() & new.keys()):
            raise InputError(
                f"{shard}: has {repeated[0]}, which another shard has too. Copy the folder again."
            )
        tensors |= new
    return Weights(folder, *_with_config(folder, shards), tensors)


def _with_config(folder: Path, files: list[Path]) -> tuple[tuple[Path, ...], dict[str, Any]]:
    """Return the files, with config.json if there is one, and its content."""
    config = folder / "config.json"
    return ((*files, config), read_json(config)) if config.exists() else (tuple(files), {})


def _shards(index: Path) -> list[Path]:
    """Return the files that an index names; all must be beside it."""
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not all(isinstance(n, str) for n in names.values()):
        raise InputError(f"{index}: has no weight_map of names. Copy it again.")
    files = sorted(set(names.values()))
    if outside := [name for name in files if Path(name).name != name]:
        raise InputError(f"{index}: names {ascii(outside[0])}, which is not beside it.")
    missing = [name for name in files if not (index.parent / name).exists()]
    if missing or not files:
        names = ", ".join(missing) or "every file"
        raise InputError(f"{index}: {names} of it is missing. Copy the whole folder.")
    return [index.parent / name for name in files]


def _read_file(path: Path) -> tuple[dict[str, StoredTensor], Any]:
    """Return the tensors of a file, and the value that torch.save wrote."""
    if path.suffix == ".safetensors":
        tensors, saved = read_safetensors(path)[0], None
    else:
        tensors, saved = _read_torch(path)
    return {_modern(name): tensor for name, tensor in tensors.items()}, saved


def _modern(name: str) -> str:
    """Return the name with weight and bias for gamma and beta, which transformers still writes."""
    module, _, kind = name.rpartition(".")
    return f"{module}.{LAYER_NORM_NAMES.get(kind, kind)}" if module.endswith("LayerNorm") else name


def _read_torch(path: Path) -> tuple[dict[str, StoredTensor], Any]:
    file = read_torch_file(path)
    value = file.value
    if isinstance(value, PickledObject):
        state = state_of_module(value)
    elif isinstance(value, dict):
        inner = value.get("model")  # fair-esm: beside cfg
        state = inner if isinstance(inner, dict) else value
    else:
        raise InputError(f"{path}: contains a {type(value).__name__}, expected a state dict.")
    return file.tensors(state), value
