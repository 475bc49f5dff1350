"""The classifier: the original's pickled module, a state dict of it, or safetensors."""

from pathlib import Path
from typing import Any

from virnucpro.errors import InputError
from virnucpro.model_import.pickle_values import PickledObject
from virnucpro.model_import.plan import Plan
from virnucpro.model_import.published_weights import read_weights
from virnucpro.scoring.classifier import BATCH_NORM_EPS, TENSORS

UNUSED = {"bn1.num_batches_tracked"}
CLASSES = 2  # other, virus


def plan_classifier(path: Path) -> Plan:
    """Return what the classifier component is made of.

    Raises: InputError for a file that is not the original's MLP, naming what is wrong.
    """
    weights = read_weights(path)
    tensors = {name: t for name, t in weights.tensors.items() if name not in UNUSED}
    faults = [f"{name} is missing" for name in TENSORS if name not in tensors]
    faults += [f"{name} is unexpected" for name in sorted(tensors.keys() - set(TENSORS))]
    if not faults:
        hidden, width = (*tensors["hidden_layer.weight"].shape, 0, 0)[:2]
        needed = dict.fromkeys(TENSORS, (hidden,)) | {
            "hidden_layer.weight": (hidden, width),
            "output_layer.weight": (CLASSES, hidden),
            "output_layer.bias": (CLASSES,),
        }
        faults += [
            f"{name} has shape {tensors[name].shape}, expected {shape}"
            for name, shape in needed.items()
            if tensors[name].shape != shape
        ]
    faults += _batch_norm_faults(weights.saved)
    if faults:
        raise InputError(f"{path}: is not a classifier of the original:\n  " + "\n  ".join(faults))
    return Plan(
        architecture="mlp",
        config={"hidden": hidden, "input": width},
        tensors={name: (tensors[name],) for name in TENSORS},
        files=(path,),
        width=width,
    )


def _batch_norm_faults(saved: Any) -> list[str]:
    """Return what differs between a pickled module's batch norm and the one that we compute."""
    modules = saved.state.get("_modules") if isinstance(saved, PickledObject) else None
    bn1 = modules.get("bn1") if isinstance(modules, dict) else None
    if not isinstance(bn1, PickledObject) or bn1.state.get("eps") == BATCH_NORM_EPS:
        return []
    return [f"bn1 has eps {ascii(bn1.state.get('eps'))[:40]}, expected {BATCH_NORM_EPS}"]
