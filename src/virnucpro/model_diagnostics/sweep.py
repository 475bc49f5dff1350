"""Measures which attention back end and token budget embed fastest on this machine.

First the back ends (on a CPU: numbers of threads) at the default budget, then budgets with the best
of them. Each setting embeds real frames with the engine as a task does, once untimed and then for
at least TIMED_S. Frames that are used again are rotated, so that all sequences stay different.
"""

import math
import os
import resource
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count

import torch

from virnucpro.engine.embed import embed
from virnucpro.engine.engine import Engine
from virnucpro.engine.memory import GpuMemoryError, gpu_memory_errors
from virnucpro.errors import InputError
from virnucpro.models import attention
from virnucpro.models.options import MIN_TOKEN_BUDGET
from virnucpro.models.tokenizers import Tokenizer

TIMED_S = 2.0
MAX_GROWTH = 16  # of a run over the previous one
FILL = 0.98  # of the batches, so that the last one is as full as the others
FACTORS = {"cuda": (1 / 8, 1 / 4, 1 / 2, 1, 2), "cpu": (1 / 2, 1, 2, 4)}  # of the default budget
CLOSE = 0.02  # a rate this close to the best is as good: timings vary by as much
GIB = 1 << 30


@dataclass(frozen=True)
class Setting:
    """The options that are varied."""

    attention: str
    token_budget: int
    threads: int


@dataclass(frozen=True)
class Measurement:
    """Rate and memory of a setting.

    Attributes:
        tokens_per_s: without filler tokens; 0 when memory ran out.
        peak_gib: of the GPU's memory in this setting; on a CPU the highest of the process so far.
        elapsed_s: of the timed run.
    """

    setting: Setting
    tokens_per_s: float
    peak_gib: float
    elapsed_s: float


def sweep(
    engine: Engine, tokenizer: Tokenizer, sequences: Sequence[str], device: torch.device
) -> Iterator[Measurement]:
    """Yield the measurement of each setting, for recommend() to choose from."""
    supply = Supply(tokenizer, sequences)
    best: Measurement | None = None
    for setting in first_settings(engine, device):
        measured = measure(engine, tokenizer, supply, setting, device)
        yield measured
        best = max((m for m in (best, measured) if m), key=lambda m: m.tokens_per_s)
    assert best
    for factor in FACTORS[device.type]:
        budget = int(engine.token_budget * factor)
        setting = replace(best.setting, token_budget=budget)
        if budget < MIN_TOKEN_BUDGET or setting == best.setting:
            continue
        measured = measure(engine, tokenizer, supply, setting, device)
        yield measured
        if not measured.tokens_per_s:
            return  # a larger one will not fit either


def first_settings(engine: Engine, device: torch.device) -> list[Setting]:
    """Return the back ends, or numbers of threads, to compare at the default budget."""
    encoder, budget = engine.encoder, engine.token_budget
    dtype = next(encoder.parameters()).dtype
    names = [
        name for name in attention.BACKENDS
        if name != "reference" and not attention.why_not(name, encoder.scheme, device, dtype)
    ]  # fmt: skip
    threads = [1]
    if device.type == "cpu":
        cores = len(os.sched_getaffinity(0))
        threads = sorted({min(2**n, cores) for n in range(cores.bit_length() + 1)})
    return [Setting(name, budget, n) for name in names for n in threads]


def recommend(measured: Sequence[Measurement]) -> Measurement:
    """Return the smallest budget within CLOSE of the best, with the best's back end and threads.

    Raises: InputError when no setting fitted into memory.
    """
    best = max(measured, key=lambda m: m.tokens_per_s)
    if not best.tokens_per_s:
        raise InputError(
            "GPU memory ran out with every setting. Another program may hold it: try again later."
        )
    best_budget = best.setting.token_budget
    same = [m for m in measured if replace(m.setting, token_budget=best_budget) == best.setting]
    close = [m for m in same if m.tokens_per_s >= (1 - CLOSE) * best.tokens_per_s]
    return min(close, key=lambda m: m.setting.token_budget)


class Supply:
    """Makes as many different sequences as a run needs out of a few."""

    def __init__(self, tokenizer: Tokenizer, sequences: Sequence[str]) -> None:
        """Store real sequences, at least one."""
        self._sequences = sequences
        self._lengths = [len(ids) for ids in tokenizer.encode(sequences)]

    def take(self, num_tokens: int) -> list[str]:
        """Return sequences of up to about `num_tokens` tokens, at least one."""
        taken: list[str] = []
        room = num_tokens
        for turn in count():
            for sequence, length in zip(self._sequences, self._lengths, strict=True):
                if length > room and taken:
                    return taken
                start = turn % len(sequence)
                taken.append(sequence[start:] + sequence[:start])
                room -= length
        raise AssertionError("count never ends")


def measure(
    engine: Engine, tokenizer: Tokenizer, supply: Supply, setting: Setting, device: torch.device
) -> Measurement:
    """Return the measurement of a setting, after a run that is not timed."""
    is_gpu = device.type == "cuda"
    if is_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    engine.encoder.attention = setting.attention
    tokens, elapsed_s = 0, 0.0
    batches, is_warm = setting.threads, False
    while elapsed_s < TIMED_S:
        sequences = supply.take(int(FILL * batches * setting.token_budget))
        start = time.perf_counter()
        try:
            with gpu_memory_errors():
                result = embed(engine.model, tokenizer, sequences, setting.token_budget,
                               threads=setting.threads, exact=engine.exact)  # fmt: skip
        except GpuMemoryError:
            return Measurement(setting, 0.0, _peak_gib(device), 0.0)
        if not is_warm:
            is_warm = True
            continue
        elapsed_s = time.perf_counter() - start
        tokens = int(result.distinct_num_tokens.sum())
        # whole rounds of all threads
        growth = min(MAX_GROWTH, 1.2 * TIMED_S / elapsed_s)
        batches = setting.threads * math.ceil(batches / setting.threads * growth)
    return Measurement(setting, tokens / elapsed_s, _peak_gib(device), elapsed_s)


def _peak_gib(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / GIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB
