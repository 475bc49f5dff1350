"""Train a small model of the original's architecture end to end, from scratch.

    DNA of a frame      -> DNABERT-S -> mean over tokens   \\
                                                             [F, D] -> MLP -> other / virus
    protein of a frame  -> ESM-2     -> mean over residues /

The original keeps its encoders frozen; ours are too small to have learnt a language, so they learn
the question itself. Loss: cross-entropy of each frame, labelled as its chunk; each chunk weighs
the same, and both labels together weigh the same.
"""

import copy
import logging
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from virnucpro.engine.packing import PackedBatch, packed_batch
from virnucpro.models import dnabert_s, esm2
from virnucpro.models.component import Encoder
from virnucpro.models.tokenizers import EsmTokenizer, Ids, Tokenizer
from virnucpro.training.labelled import LabelledFrames, cropped
from virnucpro.training.measures import measure

CROP_SHARES = (0.6, 0.75, 0.9)  # few values: every length is a call of attention of its own
NUM_CROPS = 4  # cropped versions of each frame, beside the whole one
WHOLE_FRAME_CHANCE = 0.5
# In training, DNA tokens before [SEP] are cut to a multiple of this: fewer lengths. Not in use.
DNA_LENGTH_STEP = 8
EMBEDDING_STD = 0.1  # torch's 1 would keep Adam busy for long before a token's vector has changed
DROPOUT = 0.5  # the original's
EVAL_FRAMES = 512
MAX_GRADIENT_NORM = 1.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """Sizes and schedule of a training run."""

    esm2: esm2.Config
    dnabert_s: dnabert_s.Config
    hidden: int = 512  # the original's
    steps: int = 400
    warmup_steps: int = 50
    chunks_per_step: int = 512
    peak_rate: float = 1e-3
    weight_decay: float = 0.05
    corruption: float = 0.3  # share of tokens exchanged among the frames of a step
    steps_between_measures: int = 25


# 1.5 MB in half precision. Four times the width and depth was no better on the validation chunks.
RECIPE = Recipe(esm2.Config(2, 96, 6), dnabert_s.Config(1, 96, 6, 288, 4096))


class Head(nn.Module):
    """The original's classifier, with its tensor names."""

    def __init__(self, input_width: int, hidden: int) -> None:
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


@dataclass(frozen=True)
class PackedTokens:
    """Sequences end to end, shortest first; `order` [B] brings vectors back to the given order."""

    ids: Tensor
    batch: PackedBatch
    order: Tensor


class Network(nn.Module):
    """Both encoders and the head."""

    def __init__(self, recipe: Recipe) -> None:
        """Build it with fresh weights."""
        super().__init__()
        self.dnabert_s = dnabert_s.DnabertS(recipe.dnabert_s)
        self.esm2 = esm2.ESM2(recipe.esm2)
        self.head = Head(recipe.dnabert_s.width + recipe.esm2.width, recipe.hidden)
        for embedding in (self.dnabert_s.word_embeddings, self.esm2.embed_tokens):
            nn.init.normal_(embedding.weight, std=EMBEDDING_STD)

    def forward(self, dna: PackedTokens, protein: PackedTokens) -> Tensor:
        """Return logits float32 [F, 2]."""
        device = dna.ids.device.type
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            vectors = [_embed(self.dnabert_s, dna), _embed(self.esm2, protein)]
        return self.head(torch.cat(vectors, 1))  # DNA first


def _embed(model: Encoder, tokens: PackedTokens) -> Tensor:
    """Return float32 [F, width], in the order in which the sequences were given."""
    hidden = model(tokens.ids, tokens.batch)
    return model.pool(hidden, tokens.batch)[tokens.order]


@dataclass(frozen=True)
class Tokens:
    """Token ids of each frame, DNA and protein."""

    dna: list[Ids]
    protein: list[Ids]


class Trainer:
    """One training run; `run` does it and leaves the best network in `network`."""

    def __init__(
        self,
        recipe: Recipe,
        bpe: Tokenizer,
        train: LabelledFrames,
        val: LabelledFrames,
        device: torch.device,
        seed: int,
    ) -> None:
        """Tokenise the frames and build a network."""
        torch.manual_seed(seed)
        self._rng = np.random.default_rng(seed)
        self._recipe, self._device = recipe, device
        self._train, self._val = train, val
        tokenizers = (bpe, EsmTokenizer(recipe.esm2.alphabet))
        self._val_tokens = _tokenise(val.dna, val.protein, *tokenizers)
        parts = [(train.dna, train.protein)]
        parts += [cropped(train, CROP_SHARES, self._rng) for _ in range(NUM_CROPS)]
        self._versions = [_shortened(_tokenise(*part, *tokenizers)) for part in parts]
        self._weights = _frame_weights(train)
        self.network = Network(recipe).to(device)

    def run(self) -> dict[str, float]:
        """Train; return the best step and its chunk AUROC on the validation frames."""
        recipe, network = self._recipe, self.network
        optimizer = _optimizer(network, recipe)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: rate_factor(s, recipe))
        best: dict[str, float] = {"step": 0, "chunk_auroc": -1.0}
        best_state: dict[str, Tensor] = {}
        start = time.monotonic()
        for step, chunks in zip(range(1, recipe.steps + 1), self._chunk_batches(), strict=False):
            network.train()
            loss = self._loss(chunks)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), MAX_GRADIENT_NORM)
            optimizer.step()
            schedule.step()
            if step % recipe.steps_between_measures and step < recipe.steps:
                continue
            found = measure(self._val, self.logits(self._val_tokens))
            log.info(
                "step %d of %d, loss %.3f: val chunk AUROC %.4f, accuracy %.3f, %.0f s",
                step, recipe.steps, loss.item(), found.chunk_auroc, found.chunk_accuracy,
                time.monotonic() - start,
            )  # fmt: skip
            if found.chunk_auroc > best["chunk_auroc"]:
                best = {"step": step, "chunk_auroc": found.chunk_auroc}
                best_state = copy.deepcopy(network.state_dict())  # a copy, not a reference
        network.load_state_dict(best_state)
        return best

    @torch.inference_mode()
    def logits(self, tokens: Tokens) -> NDArray[np.float32]:
        """Return log p_virus - log p_other of each frame, by the network as it is now."""
        self.network.eval()
        parts = []
        for start in range(0, len(tokens.dna), EVAL_FRAMES):
            rows = slice(start, start + EVAL_FRAMES)
            dna = lay_out(tokens.dna[rows], self._device)
            protein = lay_out(tokens.protein[rows], self._device)
            logits = self.network(dna, protein)
            parts.append((logits[:, 1] - logits[:, 0]).cpu().numpy())
        return np.concatenate(parts)

    def _chunk_batches(self) -> Iterator[NDArray[np.int64]]:
        """Yield chunks without end, each once before one comes again."""
        num_chunks = len(self._train.labels)
        size = min(self._recipe.chunks_per_step, num_chunks)
        while True:
            shuffled = self._rng.permutation(num_chunks)
            for start in range(0, num_chunks - size + 1, size):
                yield shuffled[start : start + size]

    def _loss(self, chunks: NDArray[np.int64]) -> Tensor:
        frames = np.flatnonzero(np.isin(self._train.chunk, chunks))
        whole = self._rng.random(len(frames)) < WHOLE_FRAME_CHANCE
        versions = np.where(whole, 0, self._rng.integers(1, NUM_CROPS + 1, len(frames)))
        chosen = [(self._versions[v], f) for v, f in zip(versions, frames, strict=True)]
        dna = lay_out([tokens.dna[f] for tokens, f in chosen], self._device)
        protein = lay_out([tokens.protein[f] for tokens, f in chosen], self._device)
        logits = self.network(self._corrupt(dna), self._corrupt(protein))
        labels = torch.from_numpy(self._train.labels[self._train.chunk[frames]]).to(self._device)
        weights = torch.from_numpy(self._weights[frames]).to(self._device)
        return (weights * F.cross_entropy(logits, labels, reduction="none")).sum() / weights.sum()

    def _corrupt(self, tokens: PackedTokens) -> PackedTokens:
        ids = corrupted(tokens.ids, self._recipe.corruption)
        return PackedTokens(ids, tokens.batch, tokens.order)


def _tokenise(
    dna: Sequence[str], protein: Sequence[str], bpe: Tokenizer, esm: EsmTokenizer
) -> Tokens:
    return Tokens(bpe.encode(dna), esm.encode(protein))


def _shortened(tokens: Tokens) -> Tokens:
    """Drop up to DNA_LENGTH_STEP - 1 tokens before each [SEP]."""
    dna = []
    for ids in tokens.dna:
        length = max(DNA_LENGTH_STEP, len(ids) // DNA_LENGTH_STEP * DNA_LENGTH_STEP)
        dna.append(np.append(ids[: min(length, len(ids)) - 1], ids[-1]))
    return Tokens(dna, tokens.protein)


def _frame_weights(frames: LabelledFrames) -> NDArray[np.float32]:
    """Return the weight of each frame: chunks of a label weigh the same, so do both labels."""
    of_label = len(frames.labels) / (2 * np.bincount(frames.labels, minlength=2))
    of_chunk = of_label[frames.labels] / np.bincount(frames.chunk)
    return of_chunk[frames.chunk].astype(np.float32)


def lay_out(tokens: Sequence[Ids], device: torch.device) -> PackedTokens:
    """Return sequences of any lengths end to end, without filler."""
    lengths = np.array([len(ids) for ids in tokens])
    by_length = np.argsort(lengths, kind="stable")
    ids = np.concatenate([tokens[i] for i in by_length]).astype(np.int64)
    order = torch.from_numpy(np.argsort(by_length))
    batch = packed_batch(lengths[by_length].tolist()).to(device)
    return PackedTokens(torch.from_numpy(ids).to(device), batch, order.to(device))


def corrupted(ids: Tensor, share: float) -> Tensor:
    """Return ids [T] where about that share have another token of the batch in their place.

    First and last tokens of sequences stay; the batch starts with the one and ends with the other.
    """
    donors = ids[torch.randperm(len(ids), device=ids.device)]
    chosen = torch.rand(len(ids), device=ids.device) < share
    for edge in (ids[0], ids[-1]):
        chosen &= (ids != edge) & (donors != edge)
    return torch.where(chosen, donors, ids)


def rate_factor(step: int, recipe: Recipe) -> float:
    """Return the share of the peak learning rate: a linear rise, then half a cosine to 0."""
    if step < recipe.warmup_steps:
        return (step + 1) / recipe.warmup_steps
    done = (step - recipe.warmup_steps) / max(1, recipe.steps - recipe.warmup_steps)
    return (1 + math.cos(math.pi * done)) / 2


def _optimizer(network: Network, recipe: Recipe) -> torch.optim.Optimizer:
    """Return AdamW; biases and norms do not decay."""
    matrices = [p for p in network.parameters() if p.ndim >= 2]
    vectors = [p for p in network.parameters() if p.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": recipe.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.peak_rate, betas=(0.9, 0.98))
