"""A token table that costs nothing to make before its weights are loaded."""

from torch import nn


class TokenEmbedding(nn.Embedding):
    """nn.Embedding, but fresh weights are drawn only where there is storage for them.

    Drawing normal numbers without storage (device "meta") makes torch import its compiler, which
    takes longer than embedding a small sample.
    """

    def reset_parameters(self) -> None:
        """Draw the weights."""
        if not self.weight.is_meta:
            super().reset_parameters()
