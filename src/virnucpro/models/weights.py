"""Weights that a faster form of a model holds in another way."""

from torch import nn


def forget_weight(linear: nn.Linear) -> None:
    """Free a weight that another form of it replaces; the plain forward cannot run any more."""
    linear.register_parameter("weight", None)
