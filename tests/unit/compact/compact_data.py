"""What the tests of compact sets share: sizes, and frames of windows."""

from pathlib import Path

import torch

from virnucpro.compact.frame_pool import FramePool, frames_of
from virnucpro.compact.recipe import CompactRecipe
from virnucpro.compact.sources import Source
from virnucpro.models import dnabert_s, esm2
from virnucpro.models.tokenizers import BpeTokenizer, EsmTokenizer

CPU = torch.device("cpu")
PROJECT = Path(__file__).resolve().parents[3]
TOKENIZER = PROJECT / "models/compact-500/tokenizer.json"
SOURCE_BP, WINDOW_BP = 500, 90
TINY = CompactRecipe(
    esm2.Config(1, 16, 2),
    dnabert_s.Config(1, 16, 2, 24, 4096),
    members=3,
    hidden=8,
    windows=40,
    steps=2,
    warmup_steps=1,
    windows_per_step=8,
    steps_between_measures=1,
)
RELATED = "S_train_viral_0"
NUM_SOURCES = 24


def frame_pool(windows):
    tokenizers = BpeTokenizer(TOKENIZER), EsmTokenizer(esm2.ALPHABET)
    return FramePool(frames_of(windows), *tokenizers, CPU)


def source(kind, group, length, split="train", label=1):
    return Source("ACGT" * (length // 4), label, kind, group, split, "MIT")
