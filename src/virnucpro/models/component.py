"""One encoder file: safetensors weights with `architecture` and `config` in their metadata."""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, fields
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from virnucpro.errors import InputError
from virnucpro.files import atomic_write, check_sha256, sort_metadata
from virnucpro.models import dnabert_s, esm2

Encoder = esm2.ESM2 | dnabert_s.DnabertS
ENCODERS: dict[str, type[Encoder]] = {
    model.architecture: model for model in (esm2.ESM2, dnabert_s.DnabertS)
}


def write_component(path: Path, model: Encoder, dtype: torch.dtype = torch.float32) -> None:
    """Write a model; equal weights give equal bytes."""
    state = model.state_dict()
    tensors = {name: t.detach().to("cpu", dtype).contiguous() for name, t in state.items()}
    config = json.dumps(asdict(model.config), sort_keys=True)
    with atomic_write(path) as temporary:
        save_file(tensors, temporary, {"architecture": model.architecture, "config": config})
        sort_metadata(temporary)
        temporary.chmod(0o644)  # save_file leaves it to its owner alone


def load_component(
    path: Path, sha256: str, device: torch.device, dtype: torch.dtype = torch.float32
) -> Encoder:
    """Return the model of a component file, in evaluation mode.

    Raises: InputError when the content is not the expected one, or its tensors do not fit its
        configuration.
    """
    with ThreadPoolExecutor(1, "sha256") as pool:  # hashing 11 GB takes as long as loading them
        check = pool.submit(check_sha256, path, sha256)
        try:
            model = _load(path, device, dtype)
        except (SafetensorError, OSError, InputError) as error:
            check.result()  # a wrong checksum is the better message
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path}: not a readable safetensors file ({error}).") from error
        check.result()
    return model.eval().requires_grad_(False)


def _load(path: Path, device: torch.device, dtype: torch.dtype) -> Encoder:
    with safe_open(path, framework="pt", device=str(device)) as stream:
        model = _empty_model(path, stream.metadata() or {})
        shapes = {name: tuple(stream.get_slice(name).get_shape()) for name in stream.keys()}  # noqa: SIM118
        check_tensors(path, shapes, model)
        tensors = {name: stream.get_tensor(name).to(dtype) for name in shapes}
    model.load_state_dict(tensors, assign=True)
    return model


def check_tensors(path: Path, shapes: Mapping[str, tuple[int, ...]], model: Encoder) -> None:
    """Compare the names and shapes of tensors with those that a model needs.

    Raises: InputError naming every missing, unexpected and mis-shaped tensor, with both shapes.
    """
    needed = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    faults = [f"{name} {needed[name]} is missing" for name in sorted(needed.keys() - shapes.keys())]
    faults += [f"{name} {shapes[name]} is unexpected" for name in sorted(shapes.keys() - needed)]
    faults += [
        f"{name} has shape {shapes[name]}, expected {needed[name]}"
        for name in sorted(needed.keys() & shapes.keys())
        if shapes[name] != needed[name]
    ]
    if faults:
        raise InputError(
            f"{path}: the tensors do not fit {model.architecture} {model.config}:\n  "
            + "\n  ".join(faults)
        )


def _empty_model(path: Path, metadata: Mapping[str, str]) -> Encoder:
    """Return a model without storage, as the metadata describe it."""
    architecture = metadata.get("architecture", "")
    if architecture not in ENCODERS:
        raise InputError(
            f"{path}: architecture is {architecture!r}, expected one of {', '.join(ENCODERS)}. "
            "Make the file with `virnucpro models build`."
        )
    encoder_class = ENCODERS[architecture]
    try:
        values = json.loads(metadata["config"])
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        config = encoder_class.config_class(**values)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        names = ", ".join(field.name for field in fields(encoder_class.config_class))
        raise InputError(f"{path}: config must be a JSON object with {names} ({error}).") from error
    with torch.device("meta"):
        return encoder_class(config)
