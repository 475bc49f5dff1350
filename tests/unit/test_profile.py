"""`virnucpro profile`: settings that are measured, what is recommended, the file."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from random_set import write_model_set

from virnucpro.cli import main as cli
from virnucpro.cli import profile as command
from virnucpro.engine.load import load_engine
from virnucpro.engine.memory import GpuMemoryError
from virnucpro.errors import InputError
from virnucpro.model_diagnostics import sweep as sweep_module
from virnucpro.model_diagnostics.sweep import (
    Measurement,
    Setting,
    Supply,
    first_settings,
    recommend,
    sweep,
)
from virnucpro.model_sets.description import read_model_set
from virnucpro.models import esm2
from virnucpro.models.tokenizers import EsmTokenizer

CPU = torch.device("cpu")
TOKENIZER = EsmTokenizer(esm2.ALPHABET)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_model_set(tmp_path_factory.mktemp("profile") / "set")


@pytest.fixture
def engine(folder):
    part = read_model_set(folder).component("esm2")
    return load_engine(part.path, part.sha256, CPU, "fp32")


@pytest.fixture
def sequences():
    rng = np.random.default_rng(0)
    letters = list("ACDEFGHIKLMNPQRSTVWY")
    return ["".join(rng.choice(letters, n)) for n in (30, 80, 98)]


def test_a_supply_is_of_different_sequences(sequences):
    taken = Supply(TOKENIZER, sequences).take(10_000)
    lengths = [len(s) + 2 for s in taken]
    assert 10_000 - 100 <= sum(lengths) <= 10_000
    assert taken[:3] == sequences and taken[3] == sequences[0][1:] + sequences[0][:1]
    assert len(set(taken[:90])) == 90
    assert sorted(taken[5]) == sorted(sequences[2])
    assert Supply(TOKENIZER, sequences).take(1) == sequences[:1]


def test_threads_are_compared_first_and_then_budgets(engine, sequences, monkeypatch):
    monkeypatch.setattr(sweep_module.os, "sched_getaffinity", lambda _: range(6))
    assert first_settings(engine, CPU) == [Setting("sdpa", 2048, n) for n in (1, 2, 4, 6)]
    rates = {(1, 2048): 10.0, (2, 2048): 20.0, (4, 2048): 35.0, (6, 2048): 30.0}
    seen = []

    def measure(engine, tokenizer, supply, setting, device):
        seen.append((setting.threads, setting.token_budget))
        return Measurement(setting, rates.get(seen[-1], 1.0), 0.1, 2.0)

    monkeypatch.setattr(sweep_module, "measure", measure)
    assert len(list(sweep(engine, TOKENIZER, sequences, CPU))) == len(seen)
    assert seen == [*rates, (4, 1024), (4, 4096), (4, 8192)]


def test_back_ends_that_a_gpu_has_are_compared(engine, monkeypatch):
    usable = {"sdpa", "triton", "reference"}
    monkeypatch.setattr(
        sweep_module.attention, "why_not", lambda name, *_: "" if name in usable else "no"
    )
    settings = first_settings(engine, torch.device("cuda"))
    assert settings == [Setting("sdpa", 2048, 1), Setting("triton", 2048, 1)]


def test_the_smallest_budget_near_the_best_is_recommended():
    rows = [
        Measurement(Setting(name, budget, threads), rate, 0, 2)
        for name, budget, threads, rate in [
            ("sdpa", 1024, 1, 99.5),  # of another back end: it was not swept
            ("triton", 1024, 1, 97.9),
            ("triton", 2048, 1, 98.1),
            ("triton", 4096, 1, 100.0),
            ("triton", 8192, 1, 0.0),
            ("triton", 1024, 2, 99.0),
        ]
    ]
    assert recommend(rows) is rows[2]
    with pytest.raises(InputError, match="ran out with every setting"):
        recommend(rows[4:5])


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(sweep_module, "TIMED_S", 0.01)


def test_a_measurement_embeds_with_its_setting(engine, sequences, monkeypatch, quick):
    calls, embed = [], sweep_module.embed

    def spy(model, tokenizer, some, budget, *, threads, exact):
        result = embed(model, tokenizer, some, budget, threads=threads, exact=exact)
        tokens = int(result.distinct_num_tokens.sum())
        calls.append((budget, threads, engine.encoder.attention, tokens, len(some)))
        assert len(result.distinct) == len(some)  # nothing is computed once for two
        return result

    monkeypatch.setattr(sweep_module, "embed", spy)
    supply = Supply(TOKENIZER, sequences)
    found = sweep_module.measure(engine, TOKENIZER, supply, Setting("reference", 1024, 2), CPU)
    assert {call[:3] for call in calls} == {(1024, 2, "reference")}
    assert len(calls) >= 2 and calls[0][3] == calls[1][3]  # warmed up with the same, untimed
    assert 0.95 * 2048 < calls[0][3] <= 2048
    assert found.elapsed_s >= 0.01
    assert found.tokens_per_s == pytest.approx(calls[-1][3] / found.elapsed_s)
    assert 0.05 < found.peak_gib < 100


def test_budgets_end_where_memory_does(engine, sequences, monkeypatch, quick):
    embed = sweep_module.embed

    def limited(model, tokenizer, some, budget, **options):
        if budget > 2048:
            raise GpuMemoryError("GPU memory ran out")
        return embed(model, tokenizer, some, budget, **options)

    monkeypatch.setattr(sweep_module, "embed", limited)
    rows = list(sweep(engine, TOKENIZER, sequences, CPU))
    assert rows[-1].setting.token_budget == 4096 and rows[-1].tokens_per_s == 0
    assert recommend(rows).setting.token_budget <= 2048


def test_the_command_prints_and_writes_what_the_pipeline_reads(folder, tmp_path, capsys, quick):
    target = tmp_path / "profile.json"
    argv = ["profile", "--encoder-of", str(folder), "--device", "cpu", "--precision", "bf16"]
    assert cli.main([*argv, "-o", str(target)]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].split() == [
        "encoder", "attention", "budget", "threads", "tokens/s", "peak", "GiB",
    ]  # fmt: skip
    assert f"--engine_profile {target}" in out
    profile = json.loads(target.read_text())
    assert profile["format"] == 1 and profile["device_type"] == "cpu"
    assert profile["asked_precision"] == profile["precision"] == "bf16"
    components = read_model_set(folder)
    for role in ("dnabert_s", "esm2"):
        encoder = profile["encoders"][role]
        assert encoder["component_sha256"] == components.component(role).sha256
        assert encoder["attention"] == "sdpa"
        budgets = {row["token_budget"] for row in encoder["measured"]}
        assert budgets == {1024, 2048, 4096, 8192} and encoder["token_budget"] in budgets
        text = f"{role:10}recommended: attention sdpa, token budget {encoder['token_budget']}"
        assert text in out
    assert [p.name for p in tmp_path.iterdir()] == ["profile.json"]


def test_the_memory_that_ran_out_is_reported():
    row = SimpleNamespace(setting=Setting("sdpa", 4096, 1), tokens_per_s=0.0, peak_gib=1.0)
    assert "no memory" in command._line("esm2", row)


def test_what_cannot_be_measured_is_refused_at_once(folder, tmp_path, capsys):
    argv = ["profile", "--encoder-of", str(folder), "--device", "cpu"]
    assert cli.main([*argv, "--precision", "fp16"]) == 2
    assert "a CPU computes in fp32 or bf16" in capsys.readouterr().err
    assert cli.main([*argv, "-o", str(tmp_path / "none" / "x.json")]) == 2
    assert "there is no such folder. Make it" in capsys.readouterr().err
