"""Sizes and schedule of the networks behind the compact sets."""

from dataclasses import dataclass

from virnucpro.models import dnabert_s, esm2
from virnucpro.training.mlp import HIDDEN


@dataclass(frozen=True)
class CompactRecipe:
    """Sizes and schedule of a training run.

    Attributes:
        members: MLPs of the ensemble; hidden: width of each, the original's.
        embedding_members: of them, those that take the embeddings; the others take the composition
            features.
        bagging_fraction: of the members, those that learn from a group of sequences.
        window_shares: shortest and longest window, as shares of the set's chunk length. Shorter
            ones teach more than those of full length alone (bench/LOG.md).
        token_corruption_rate: share of tokens exchanged among the frames of a step.
        window_loss_weight: of the loss of windows; the rest is that of frames.
        encoder_loss_weight: of a loss of the encoders alone, without which the composition features
            would be learnt instead of them.
        ema_decay: of the moving average of the weights, which is what is measured and stored.
        distillation_weight: of the teacher's scores in the labels, where there is a teacher.
    """

    esm2: esm2.Config
    dnabert_s: dnabert_s.Config
    members: int = 6
    embedding_members: int = 1
    hidden: int = HIDDEN
    bagging_fraction: float = 2 / 3
    windows: int = 300_000
    window_shares: tuple[float, float] = (0.4, 1.0)
    steps: int = 3000
    warmup_steps: int = 100
    windows_per_step: int = 1024
    peak_lr: float = 1e-3
    weight_decay: float = 0.05
    token_corruption_rate: float = 0.3
    window_loss_weight: float = 0.5
    encoder_loss_weight: float = 0.5
    ema_decay: float = 0.99
    distillation_weight: float = 0.7
    steps_between_measures: int = 500


# Encoders of 1.5 MB and a classifier of 6 MB in half precision; larger encoders were no better.
RECIPE = CompactRecipe(esm2.Config(2, 96, 6), dnabert_s.Config(1, 96, 6, 288, 4096))
