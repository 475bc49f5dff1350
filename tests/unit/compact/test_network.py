"""The network of a compact set and its ensemble of classifiers."""

import numpy as np
import pytest
import torch
from torch import nn

from virnucpro.compact.network import MlpEnsemble, padded
from virnucpro.training.mlp import Mlp


@pytest.mark.parametrize("name", ["dna", "protein"])
def test_padded_vectors_and_gradients_are_those_of_each_sequence_alone(trainer, train, name):
    """Padding is hidden, vectors come back in order, and pooling can be trained."""
    model = trainer.network.dnabert_s if name == "dna" else trainer.network.esm2
    tokens = getattr(train, name)
    rows = np.array([5, 2, 30, 2, 17])
    weights = torch.randn(5, 16)

    def vectors_and_gradient(groups, backend):
        model.zero_grad()
        vectors = []
        for group in groups:
            packed = tokens.take(group)
            hidden = model(packed.ids, packed.batch, backend)
            vectors.append(model.pool(hidden, packed.batch)[packed.order])
        together = torch.cat(vectors)
        (together * weights).sum().backward()
        return together.detach(), model.layers[0].qkv.weight.grad.clone()

    together = vectors_and_gradient([rows], padded)
    alone = vectors_and_gradient(np.split(rows, 5), None)  # the engine's attention
    for found, expected in zip(together, alone, strict=True):
        torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)


def test_members_take_embeddings_or_composition_features_never_both(trainer, train):
    network = trainer.network.eval()
    nn.init.normal_(network.head.hidden_layer.weight)  # as if training had touched them all
    composition = train.composition[:8].requires_grad_()
    dna, protein, _ = train.take(np.arange(8))
    members, encoders = network(dna, protein, composition)
    assert members.shape == (8, 3) and encoders.shape == (8,)
    for member, of_composition in enumerate((False, True, True)):
        gradient = torch.autograd.grad(
            members[:, member].sum(), [composition, network.esm2.embed_tokens.weight],
            retain_graph=True, allow_unused=True, materialize_grads=True,
        )  # fmt: skip
        assert [bool(g.any()) for g in gradient] == [of_composition, not of_composition]


def test_the_mean_of_an_ensemble_is_one_wide_mlp():
    torch.manual_seed(0)
    seen = torch.tensor([[True, True, False], [False, False, True]])
    ensemble = MlpEnsemble(seen, hidden=5)
    ensemble(torch.randn(50, 3))  # so that the running statistics are some
    nn.init.normal_(ensemble.output_bias)
    wide = Mlp(3, hidden=10)
    wide.load_state_dict(ensemble.mean_state(), strict=False)
    features = torch.randn(7, 3)
    both = wide.eval()(features)
    torch.testing.assert_close(both[:, 1] - both[:, 0], ensemble.eval()(features).mean(1))
