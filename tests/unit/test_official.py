"""`--engine official`: the authors' own forward passes give the vectors that ours gives."""

import dataclasses
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import pytest
import torch

from virnucpro.engine import official
from virnucpro.engine.embed import embed
from virnucpro.engine.load import load_engine
from virnucpro.errors import InputError
from virnucpro.files import file_sha256
from virnucpro.models import dnabert_s, esm2
from virnucpro.models.component import write_component
from virnucpro.models.tokenizers import EsmTokenizer

CPU = torch.device("cpu")
TOKENIZER = EsmTokenizer(esm2.ALPHABET)
TOLERANCE = 1e-5  # float32 in another order; values are of the order of 1


@pytest.fixture(scope="module")
def sequences():
    rng = np.random.default_rng(1)
    lengths = (1, 5, 30, 30, 30, 166, 166, 200)
    return ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWYX"), n)) for n in lengths]


@pytest.fixture(params=["as the formula", "of a checkpoint"])
def esm2_file(request, tmp_path):
    torch.manual_seed(3)
    config = esm2.Config(2, 64, 4)
    if request.param == "of a checkpoint":
        others = tuple(0.8 * f for f in esm2.rotary_frequencies(16))
        config = dataclasses.replace(config, rotary_frequencies=others)
    write_component(tmp_path / "esm2", esm2.ESM2(config))
    return tmp_path / "esm2"


def engine_of(file, **options):
    return load_engine(file, file_sha256(file), CPU, "fp32", **options)


def vectors(engine, sequences):
    return embed(engine.model, TOKENIZER, sequences, engine.token_budget).vectors


def hide(monkeypatch, *distributions):
    """Hide distributions; a package esm stays importable, as if of another distribution."""

    def find_version(name):
        if name in distributions:
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(official.importlib.metadata, "version", find_version)


@pytest.mark.parametrize("distribution", official.PACKAGES)
def test_esm2_agrees_with_the_authors(esm2_file, sequences, monkeypatch, distribution):
    if distribution == "transformers":
        hide(monkeypatch, "fair-esm")
    theirs = engine_of(esm2_file, engine="official")
    assert theirs.numerics["path"] == f"official {official.PACKAGES[distribution]}"
    assert theirs.numerics["attention"] == "official"
    assert theirs.numerics[distribution] == version(distribution)
    actual, expected = vectors(theirs, sequences), vectors(engine_of(esm2_file), sequences)
    assert expected.std() > 0.3
    assert np.abs(actual - expected).max() < TOLERANCE


def test_threads_do_not_disturb_the_authors_code(tmp_path):
    """fair-esm keeps the angles of the last length in the module, which all threads share."""
    torch.manual_seed(3)
    write_component(tmp_path / "esm2", esm2.ESM2(esm2.Config(2, 64, 4)))
    rng = np.random.default_rng(4)
    letters = list("ACDEFGHIKLMNPQRSTVWY")
    many = ["".join(rng.choice(letters, n)) for n in rng.integers(20, 400, 200)]
    engine = engine_of(tmp_path / "esm2", engine="official")
    by_threads = [
        embed(engine.model, TOKENIZER, many, engine.token_budget, threads=threads).vectors
        for threads in (1, 4)
    ]
    assert by_threads[0].tobytes() == by_threads[1].tobytes()


def test_dnabert_s_agrees_with_its_definition(tmp_path, sequences):
    torch.manual_seed(3)
    file = tmp_path / "dnabert_s"
    write_component(file, dnabert_s.DnabertS(dnabert_s.Config(2, 96, 12, 160, 33)))
    theirs = engine_of(file, engine="official")
    assert theirs.numerics["path"] == "official" and theirs.numerics["attention"] == "reference"
    assert theirs.token_budget == 1  # one sequence at a time
    actual, expected = vectors(theirs, sequences), vectors(engine_of(file), sequences)
    assert np.abs(actual - expected).max() < TOLERANCE


def test_what_the_official_engine_cannot_do_is_refused(esm2_file, monkeypatch):
    sha256 = file_sha256(esm2_file)
    with pytest.raises(InputError, match="computes in fp32, not bf16. Add --precision fp32"):
        load_engine(esm2_file, sha256, CPU, "bf16", engine="official")
    with pytest.raises(InputError, match="Omit --attention"):
        engine_of(esm2_file, engine="official", attention_name="sdpa")
    with pytest.raises(InputError, match="Omit --token-budget"):
        engine_of(esm2_file, engine="official", budget=4096)
    hide(monkeypatch, *official.PACKAGES)
    with pytest.raises(InputError, match="needs fair-esm or transformers. Install one of them"):
        engine_of(esm2_file, engine="official")
