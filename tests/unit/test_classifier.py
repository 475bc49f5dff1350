"""The numpy classifier against the same network in torch."""

import hashlib

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from virnucpro.errors import InputError
from virnucpro.scoring.classifier import TENSORS, load_classifier, save_classifier

SIZES = [(768, 2560, 512), (5, 3, 4), (1, 1, 1)]  # DNA width, protein width, hidden


class Mlp(torch.nn.Module):
    """The original's: names, order and all."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.hidden_layer = torch.nn.Linear(width, hidden)
        self.bn1 = torch.nn.BatchNorm1d(hidden)
        self.dropout = torch.nn.Dropout(0.5)
        self.output_layer = torch.nn.Linear(hidden, 2)

    def forward(self, x):
        x = torch.relu(self.bn1(self.hidden_layer(x)))
        return torch.softmax(self.output_layer(self.dropout(x)), dim=1)


def random_mlp(width: int, hidden: int, seed: int = 0) -> Mlp:
    torch.manual_seed(seed)
    model = Mlp(width, hidden).eval()
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name == "bn1.running_var":
                tensor.uniform_(1e-6, 3)  # small ones too, where eps counts
            elif name.startswith("bn1") and tensor.is_floating_point():
                tensor.normal_(0.5)
    return model


def save(path, model: Mlp):
    tensors = {k: v.numpy() for k, v in model.state_dict().items() if k in TENSORS}
    save_classifier(path, tensors)
    return path


@pytest.fixture(params=SIZES, ids=str)
def case(request, tmp_path):
    """Return (torch model, ours, DNA [600, d], protein [600, p])."""
    dna_width, protein_width, hidden = request.param
    model = random_mlp(dna_width + protein_width, hidden)
    rng = np.random.default_rng(1)
    dna = rng.normal(0, 0.2, (600, dna_width)).astype(np.float32)
    protein = rng.normal(0, 0.5, (600, protein_width)).astype(np.float32)
    return model, load_classifier(save(tmp_path / "m.safetensors", model)), dna, protein


def test_scores_are_those_of_torch(case):
    model, ours, dna, protein = case
    scores = ours.scores(dna, protein)
    features = torch.from_numpy(np.concatenate((dna, protein), axis=1))
    with torch.no_grad():
        expected = model(features).numpy()
        exact = model.double()(features.double()).numpy()
    assert scores.dtype == np.float32 and scores.shape == (600, 2)
    # 1e-6: a few float32 roundings of the 3,328 products in torch; ours are float64
    assert np.abs(scores - expected).max() <= 1e-6
    assert np.abs(scores - exact).max() <= 6e-8  # the rounding to float32
    assert np.ptp(scores[:, 1]) > 0.01  # the frames do differ


@pytest.mark.parametrize("num_rows", [0, 1, 2, 255, 256, 257, 600])
def test_rows_beside_it_do_not_change_a_score(case, num_rows):
    _, ours, dna, protein = case
    everything = ours.scores(dna, protein)
    assert ours.scores(dna[:num_rows], protein[:num_rows]).tobytes() == (
        everything[:num_rows].tobytes()
    )


def test_position_does_not_change_a_score(case):
    _, ours, dna, protein = case
    everything = ours.scores(dna, protein)
    order = np.random.default_rng(2).permutation(600)
    assert ours.scores(dna[order], protein[order]).tobytes() == everything[order].tobytes()
    for row in (0, 1, 255, 256, 599):
        alone = ours.scores(dna[row : row + 1], protein[row : row + 1])
        assert alone.tobytes() == everything[row : row + 1].tobytes()


def test_extreme_features_give_certain_scores(case):
    _, ours, dna, protein = case
    with np.errstate(all="raise", under="ignore"):
        scores = ours.scores(dna[:9] * 1e6, protein[:9] * 1e6)
    assert np.isfinite(scores).all()
    assert np.allclose(scores.sum(axis=1), 1, atol=1e-6)


def test_dna_stands_before_protein(case):
    _, ours, dna, protein = case
    joined = np.concatenate((dna, protein), axis=1)
    assert ours.input_width == joined.shape[1]
    nothing = joined[:, :0]
    assert ours.scores(joined, nothing).tobytes() == ours.scores(dna, protein).tobytes()


def test_the_second_score_is_that_of_virus(tmp_path):
    model = random_mlp(2, 1)
    with torch.no_grad():
        model.output_layer.weight.zero_()
        model.output_layer.bias.copy_(torch.tensor([0.0, 3.0]))
    ours = load_classifier(save(tmp_path / "m", model))
    one = np.zeros((1, 1), np.float32)
    assert ours.scores(one, one)[0].tolist() == pytest.approx([0.04742587, 0.9525741], abs=1e-7)


def test_half_precision_weights_are_read(tmp_path):
    model = random_mlp(8, 4).half()
    ours = load_classifier(save(tmp_path / "m", model))
    x = np.random.default_rng(3).normal(size=(5, 8)).astype(np.float32)
    with torch.no_grad():
        expected = model.double()(torch.from_numpy(x).double()).numpy()
    assert np.abs(ours.scores(x[:, :3], x[:, 3:]) - expected).max() <= 1e-7


def test_the_digest_is_checked(tmp_path):
    path = save(tmp_path / "m.safetensors", random_mlp(8, 4))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert load_classifier(path, digest).input_width == 8
    with pytest.raises(InputError, match=f"m.safetensors: sha256 is {digest}, expected 0000"):
        load_classifier(path, "0" * 64)


def _not_safetensors(path, tensors):
    path.write_bytes(b"PK\3\4 not safetensors at all")


def _cut_short(path, tensors):
    path.write_bytes(path.read_bytes()[:-10])


def _other_architecture(path, tensors):
    save_file(tensors, path, {"architecture": "esm2"})


def _no_metadata(path, tensors):
    save_file(tensors, path)


def _tensor_missing(path, tensors):
    del tensors["bn1.running_var"]
    save_file(tensors, path, {"architecture": "mlp"})


@pytest.mark.parametrize(
    "damage, words",
    [
        (_not_safetensors, "is not a readable safetensors file"),
        (_cut_short, "is not a readable safetensors file"),
        (_other_architecture, "is not a classifier .architecture 'esm2'"),
        (_no_metadata, "is not a classifier .architecture None"),
        (_tensor_missing, "missing tensors .'bn1.running_var'"),
    ],
)
def test_files_that_are_not_a_classifier_are_refused(tmp_path, damage, words):
    model = random_mlp(8, 4)
    path = save(tmp_path / "m.safetensors", model)
    damage(path, {k: v.numpy() for k, v in model.state_dict().items() if k in TENSORS})
    with pytest.raises(InputError, match="^m.safetensors: .*" + words):
        load_classifier(path)
