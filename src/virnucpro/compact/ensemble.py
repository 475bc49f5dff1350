"""Several classifiers side by side, whose mean is one wide classifier again."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from virnucpro.scoring.classifier import TENSORS
from virnucpro.training.mlp import DROPOUT


class MlpEnsemble(nn.Module):
    """MLPs side by side. Their mean logit is that of one wide MLP."""

    seen: Tensor

    def __init__(self, seen: Tensor, hidden: int) -> None:
        """Build it with fresh weights, Xavier-uniform as those of single MLPs.

        Args:
            seen: bool [M, D]: which of D features each of M members takes.
            hidden: H, width of each member.
        """
        super().__init__()
        members, width = seen.shape
        self.hidden_layer = nn.Linear(width, members * hidden)
        self.bn1 = nn.BatchNorm1d(members * hidden)
        self.dropout = nn.Dropout(DROPOUT)
        self.output_weight = nn.Parameter(torch.empty(members, hidden))
        self.output_bias = nn.Parameter(torch.zeros(members))
        self.register_buffer("seen", seen.float().repeat_interleave(hidden, 0), persistent=False)
        bounds = (6 / (self.seen.sum(1, keepdim=True) + hidden)).sqrt()
        with torch.no_grad():
            self.hidden_layer.weight.uniform_(-1, 1).mul_(bounds * self.seen)
        nn.init.uniform_(
            self.output_weight, -math.sqrt(6 / (2 + hidden)), math.sqrt(6 / (2 + hidden))
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return log p_virus - log p_other [F, M], by each member, of features [F, D]."""
        weight = self.hidden_layer.weight * self.seen
        hidden = F.relu(self.bn1(F.linear(features, weight, self.hidden_layer.bias)))
        members = self.dropout(hidden).unflatten(1, self.output_weight.shape)
        return (members * self.output_weight).sum(2) + self.output_bias

    def mean_state(self) -> dict[str, Tensor]:
        """Return the state of the MLP of M * H hidden units that gives the mean of the members."""
        state = {name: value for name, value in self.state_dict().items() if name in TENSORS}
        state["hidden_layer.weight"] = state["hidden_layer.weight"] * self.seen
        # half of the difference to each of both logits
        half = self.output_weight.detach().flatten() / (2 * len(self.output_bias))
        bias = self.output_bias.detach().mean() / 2
        return state | {
            "output_layer.weight": torch.stack([-half, half]),
            "output_layer.bias": torch.stack([-bias, bias]),
        }
