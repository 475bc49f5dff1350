"""Embeds with batches that fit into memory: where they do not, again with smaller ones."""

import logging
from collections.abc import Callable
from contextlib import nullcontext

import torch

from virnucpro.engine.embed import Embeddings, embed
from virnucpro.engine.engine import Engine
from virnucpro.engine.memory import (
    MIN_TOKEN_BUDGET,
    GpuMemoryError,
    SequenceTooLongError,
    is_shared,
)
from virnucpro.engine.outputs import Outputs
from virnucpro.errors import InputError
from virnucpro.models.tokenizers import Tokenizer

log = logging.getLogger(__name__)


def embed_within_memory(
    engine: Engine, tokenizer: Tokenizer, sequences: list[str], names: list[str], threads: int,
    write: Callable[[Engine], Outputs] | None = None,
) -> tuple[Embeddings, Engine]:  # fmt: skip
    """Embed; when GPU memory runs out, start again with batches of half the tokens.

    Args:
        write: makes what writes the vectors of an attempt.
    Returns: the embeddings, and the engine with the budget of all of them.
    Raises: GpuMemoryError when the smallest batch does not fit either; InputError when one sequence
        is too long for the GPU, and no other program holds much of its memory.
    """
    while True:
        budget = engine.token_budget // 2
        try:
            with write(engine) if write else nullcontext() as on_rows:
                result = embed(
                    engine.model,
                    tokenizer,
                    sequences,
                    engine.token_budget,
                    names=names,
                    threads=threads,
                    exact=engine.exact,
                    on_rows=on_rows,
                )
            return result, engine
        except GpuMemoryError as error:
            if budget < MIN_TOKEN_BUDGET:
                is_too_long = isinstance(error, SequenceTooLongError)
                if is_too_long and not is_shared(engine.encoder.device):
                    raise InputError(
                        f"{error} A sequence cannot be split: take a GPU with more memory or "
                        "--device cpu, or omit it."
                    ) from error
                raise
            log.warning("%s Starting again with %d tokens a batch.", error, budget)
        # not above, where the error still holds the tensors of its batch
        engine = engine.with_budget(budget)
        torch.cuda.empty_cache()
