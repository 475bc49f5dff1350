"""The original's classifier in torch, to be trained; scoring/classifier.py evaluates it."""

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from virnucpro.scoring.classifier import TENSORS

HIDDEN, DROPOUT = 512, 0.5  # the original's


class Mlp(nn.Module):
    """The original's classifier, with its tensor names."""

    def __init__(self, input_width: int, hidden: int = HIDDEN) -> None:
        """Build it with fresh weights, Xavier-uniform as in the original."""
        super().__init__()
        self.hidden_layer = nn.Linear(input_width, hidden)
        self.bn1 = nn.BatchNorm1d(hidden)
        self.dropout = nn.Dropout(DROPOUT)
        self.output_layer = nn.Linear(hidden, 2)
        nn.init.xavier_uniform_(self.hidden_layer.weight)
        nn.init.xavier_uniform_(self.output_layer.weight)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits [F, 2], other and virus, of features [F, D]."""
        hidden = F.relu(self.bn1(self.hidden_layer(features)))
        return self.output_layer(self.dropout(hidden))


def unscaled(
    state: dict[str, Tensor],
    mean: NDArray[np.floating] | float,
    spread: NDArray[np.floating] | float,
) -> dict[str, NDArray[np.float32]]:
    """Return the tensors of an MLP that takes its features as they are.

    Args:
        state: of an MLP that was trained on (features - mean) / spread.
        mean, spread: [D], or the same for all.
    """
    tensors = {name: state[name].detach().cpu().double().numpy() for name in TENSORS}
    weight = tensors["hidden_layer.weight"] / spread
    bias = tensors["hidden_layer.bias"] - (weight * mean).sum(1)
    tensors |= {"hidden_layer.weight": weight, "hidden_layer.bias": bias}
    return {name: tensor.astype(np.float32) for name, tensor in tensors.items()}
