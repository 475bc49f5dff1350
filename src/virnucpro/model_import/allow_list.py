"""Every global that a checkpoint may name; none is ever imported (restricted_unpickler)."""

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
# Calls that rebuild a value; pickle_values has a function for each.
CALLS = (
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "torch.Size",
    "collections.OrderedDict",
    "builtins.set",
    "__builtin__.set",  # as protocol 2 spells it
)
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
ALLOWED = frozenset((*STORAGES, *CALLS, *OBJECTS))


def as_text() -> str:
    """Return the list, one global a line."""
    rows = [("storages of tensors", STORAGES), ("values", CALLS), ("objects without code", OBJECTS)]
    return "\n".join(
        f"{title}:\n" + "\n".join(f"  {name}" for name in names) for title, names in rows
    )
