"""The network behind a compact set: a small model of the original's architecture.

    DNA of a frame      -> DNABERT-S -> mean over tokens   \\
    protein of a frame  -> ESM-2     -> mean over residues  >  [F, D] -> MLP -> other / virus
    both                -> composition features            /

The original keeps its encoders frozen; ours are too small to have learnt a language, so they are
trained end to end, from scratch.

The MLP is an ensemble whose members each learn from other groups of sequences (bagging): that helps
on families which none has seen. One member takes the embeddings, the others the composition
features; where one MLP takes both, embeddings that know the training sequences too well outvote the
composition features.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from virnucpro.compact.frame_pool import FramePool, PackedTokens
from virnucpro.compact.recipe import CompactRecipe
from virnucpro.models import dnabert_s, esm2
from virnucpro.models.attention import Attention, Scheme, alibi, rotation, split_qkv
from virnucpro.models.component import Encoder
from virnucpro.models.packing import PackedBatch
from virnucpro.scoring.classifier import TENSORS
from virnucpro.scoring.composition_features import COMPOSITION_WIDTH
from virnucpro.training.mlp import DROPOUT, unscaled

EMBEDDING_STD = 0.1  # torch's 1 would keep Adam busy for long before a token's vector has changed
EVAL_FRAMES = 4096
PADDING_SCORE = -3e4  # added to the scores of padding; its weight is 0 in any precision


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


class Network(nn.Module):
    """Both encoders, the norm of the composition features, and the ensemble."""

    def __init__(self, recipe: CompactRecipe) -> None:
        """Build it with fresh weights."""
        super().__init__()
        self.dnabert_s = dnabert_s.DnabertS(recipe.dnabert_s)
        self.esm2 = esm2.ESM2(recipe.esm2)
        width = recipe.dnabert_s.width + recipe.esm2.width
        self.encoders_alone = nn.Linear(width, 1)
        # their deviations are 1e-3 to 1e-1; `classifier` puts this norm into the first layer
        self.composition_norm = nn.BatchNorm1d(COMPOSITION_WIDTH, affine=False)
        is_embedding = torch.arange(width + COMPOSITION_WIDTH) < width
        takes_embeddings = torch.arange(recipe.members) < recipe.embedding_members
        self.head = MlpEnsemble(takes_embeddings[:, None] == is_embedding, recipe.hidden)
        for embedding in (self.dnabert_s.word_embeddings, self.esm2.embed_tokens):
            nn.init.normal_(embedding.weight, std=EMBEDDING_STD)

    def forward(
        self, dna: PackedTokens, protein: PackedTokens, composition: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return log p_virus - log p_other, float32: of each member [F, M], of the encoders [F]."""
        device = composition.device.type
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            vectors = [_embed(self.dnabert_s, dna), _embed(self.esm2, protein)]  # DNA first
        encoded = torch.cat(vectors, 1).float()
        features = torch.cat([encoded, self.composition_norm(composition)], 1)
        return self.head(features), self.encoders_alone(encoded).squeeze(1)

    def classifier(self) -> dict[str, NDArray[np.float32]]:
        """Return the tensors of the head for composition features as they are, without the norm."""
        norm = self.composition_norm
        assert norm.running_mean is not None and norm.running_var is not None
        mean, variance = (t.double().cpu().numpy() for t in (norm.running_mean, norm.running_var))
        encoded = self.encoders_alone.in_features
        return unscaled(
            self.head.mean_state(),
            np.concatenate([np.zeros(encoded), mean]),
            np.concatenate([np.ones(encoded), np.sqrt(variance + norm.eps)]),
        )


def _embed(model: Encoder, tokens: PackedTokens) -> Tensor:
    """Return float32 [F, width], in the order in which the sequences were given."""
    hidden = model(tokens.ids, tokens.batch, padded)
    return model.pool(hidden, tokens.batch)[tokens.order]


def padded(scheme: Scheme, batch: PackedBatch, dtype: torch.dtype) -> Attention:
    """Return dense attention over [B, L], L the longest sequence, with gradients; no filler.

    The engine's back ends give a sequence the same bytes whatever its neighbours are; training
    needs no such thing, and batches of many lengths in few calls.
    """
    turn, bias = rotation(scheme, batch), alibi(scheme, batch, torch.float32)
    bounds = batch.cu_seqlens.long()
    lengths, longest = bounds[1:] - bounds[:-1], batch.max_seqlen
    count = len(lengths)
    rows = torch.arange(count, device=lengths.device)
    sequence = torch.repeat_interleave(rows, lengths, output_size=batch.num_tokens)
    where = sequence * longest + batch.positions  # [T], place in the padded layout
    is_padding = torch.arange(longest, device=lengths.device) >= lengths[:, None]
    mask = torch.zeros(count, 1, 1, longest, device=lengths.device)
    mask = mask.masked_fill(is_padding[:, None, None], PADDING_SCORE)
    mask = mask.expand(-1, -1, longest, -1) if bias is None else mask + bias

    def attend(qkv: Tensor) -> Tensor:
        def pad(x: Tensor) -> Tensor:
            """Return [T, H, K] as [B, H, L, K]."""
            out = x.new_zeros(count * longest, *x.shape[1:]).index_copy(0, where, x)
            return out.unflatten(0, (count, longest)).transpose(1, 2)

        q, k, v = split_qkv(qkv, scheme)
        out = F.scaled_dot_product_attention(
            pad(turn(q)), pad(turn(k)), pad(v), attn_mask=mask.to(qkv.dtype)
        )
        return out.transpose(1, 2).flatten(0, 1)[where].flatten(1)

    return attend


@torch.inference_mode()
def logits(network: Network, pool: FramePool) -> NDArray[np.float32]:
    """Return log p_virus - log p_other of each frame of a pool, the mean of the members."""
    network.eval()
    parts = []
    for start in range(0, len(pool), EVAL_FRAMES):
        members, _ = network(*pool.take(np.arange(start, min(start + EVAL_FRAMES, len(pool)))))
        parts.append(members.mean(1).cpu().numpy())
    return np.concatenate(parts)
