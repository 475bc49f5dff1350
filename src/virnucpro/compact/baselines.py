"""Simple models on the same windows, to compare a compact set with."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from virnucpro.scoring.composition_features import BASES, word_shares
from virnucpro.sequences.translation import COMPLEMENT

K = 5
PENALTY = 1e-4  # on squared weights of standardised numbers
ITERATIONS = 100


def kmer_shares(sequences: Sequence[str]) -> NDArray[np.float32]:
    """Return float32 [sequences, 4^5]: share of each 5-mer on both strands together."""
    shares = np.empty((len(sequences), 4**K), np.float32)
    for row, sequence in zip(shares, sequences, strict=True):
        both = f"{sequence}N{sequence.translate(COMPLEMENT)[::-1]}"  # no word lies across an N
        row[:] = word_shares([both], BASES, K)[0]
    return shares


def linear_scores(
    train: NDArray[np.float32],
    labels: NDArray[np.int64],
    val: NDArray[np.float32],
    device: torch.device,
) -> NDArray[np.float32]:
    """Fit a logistic regression on standardised numbers; return its logits of `val`.

    Args:
        train: float32 [n, D]; labels: int64 [n]; val: float32 [m, D].
        device: to fit on.
    """
    mean, deviation = train.mean(0), train.std(0) + 1e-8
    x, z = (torch.from_numpy((part - mean) / deviation).to(device) for part in (train, val))
    y = torch.from_numpy(labels.astype(np.float32)).to(device)
    weight = torch.zeros(x.shape[1], device=device, requires_grad=True)
    bias = torch.zeros(1, device=device, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=ITERATIONS, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(x @ weight + bias, y)
        loss = loss + PENALTY * (weight**2).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    with torch.inference_mode():
        return (z @ weight + bias).cpu().numpy()
