"""Every global that a checkpoint may name; none is ever imported (restricted_unpickler)."""

from collections.abc import Iterable

from virnucpro.model_import.pickle_values import REBUILD

# Storage classes of torch, and the dtype of their elements.
STORAGES = {
    "torch.FloatStorage": "float32",
    "torch.HalfStorage": "float16",
    "torch.BFloat16Storage": "bfloat16",
    "torch.DoubleStorage": "float64",
    "torch.LongStorage": "int64",
    "torch.IntStorage": "int32",
    "torch.BoolStorage": "bool",
}
# Classes whose objects are kept as their names and attributes, without any behaviour.
OBJECTS = (
    "__main__.MLPClassifier",  # the original's classifier, pickled whole
    "torch.nn.modules.linear.Linear",
    "torch.nn.modules.batchnorm.BatchNorm1d",
    "torch.nn.modules.dropout.Dropout",
    "torch.nn.modules.activation.ReLU",
    "torch.nn.modules.activation.Softmax",
    "argparse.Namespace",  # configuration in fair-esm's checkpoints
)
ALLOWED = frozenset((*STORAGES, *REBUILD, *OBJECTS))


def as_text() -> str:
    """Return the list, one global a line."""
    lists: dict[str, Iterable[str]] = {
        "storages of tensors": STORAGES,
        "values": REBUILD,
        "objects without code": OBJECTS,
    }
    return "\n".join(
        f"{title}:\n" + "\n".join(f"  {name}" for name in names) for title, names in lists.items()
    )
