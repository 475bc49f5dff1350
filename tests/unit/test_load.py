"""From a component file to an engine: which path and back end, and why something cannot run."""

import logging
from types import SimpleNamespace

import pytest
import torch

from virnucpro.engine import device as devices
from virnucpro.engine import load, memory
from virnucpro.engine.load import load_engine
from virnucpro.errors import InputError
from virnucpro.files import file_sha256
from virnucpro.models import attention, dnabert_s, esm2, fused, fused_fp8, in_place
from virnucpro.models.component import write_component

CPU = torch.device("cpu")
CUDA = torch.device("cuda")


def tiny(kind):
    torch.manual_seed(0)
    if kind == "esm2":
        return esm2.ESM2(esm2.Config(1, 32, 2)).eval()
    return dnabert_s.DnabertS(dnabert_s.Config(1, 24, 3, 32, 4096)).eval()


@pytest.fixture(params=["esm2", "dnabert_s"])
def file(request, tmp_path):
    write_component(tmp_path / request.param, tiny(request.param))
    return tmp_path / request.param


def on_cpu(file, precision="fp32", **options):
    return load_engine(file, file_sha256(file), CPU, precision, **options)


def test_a_cpu_works_in_place_in_float32(file):
    engine = on_cpu(file)
    expected = {"esm2": in_place.InPlaceESM2, "dnabert_s": in_place.InPlaceDnabertS}
    assert type(engine.model) is expected[file.name] and engine.model.encoder is engine.encoder
    assert engine.numerics["path"] == "in place" and engine.numerics["attention"] == "sdpa"
    assert engine.token_budget == engine.numerics["token_budget"] == 2048


def test_a_cpu_takes_the_plain_path_in_bfloat16(file):
    engine = on_cpu(file, "bf16")
    assert engine.model is engine.encoder and engine.numerics["path"] == "plain"
    assert next(engine.encoder.parameters()).dtype == torch.bfloat16


def test_budget_and_attention_are_those_asked_for(file):
    engine = on_cpu(file, attention_name="reference", budget=4096)
    assert engine.encoder.attention == engine.numerics["attention"] == "reference"
    assert engine.token_budget == engine.numerics["token_budget"] == 4096
    half = engine.with_budget(2048)
    assert half.token_budget == half.numerics["token_budget"] == 2048
    assert half.model is engine.model and engine.numerics["token_budget"] == 4096


@pytest.mark.parametrize("name", ["triton", "varlen", "flash"])
def test_a_back_end_that_needs_a_gpu_is_refused_on_a_cpu(file, name):
    message = f"--attention {name}: it needs a GPU, and the device is cpu. Use --attention auto."
    with pytest.raises(InputError, match=message):
        on_cpu(file, attention_name=name)


def test_the_exact_model_is_float32(file):
    assert next(on_cpu(file, "bf16").exact().parameters()).dtype == torch.float32


@pytest.fixture
def card(monkeypatch):
    """A GPU that can be asked and cannot compute; the models stay in memory."""
    card = SimpleNamespace(major=9, minor=0, multi_processor_count=132, total_memory=80 << 30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda *_: card)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (card.major, card.minor))
    monkeypatch.setenv("CC", "gcc")
    return card


def on_card(kind, precision, monkeypatch, **options):
    def component(path, sha256, device, dtype=torch.float32):
        return tiny(kind).to(dtype)

    monkeypatch.setattr(load, "load_component", component)
    return load_engine("x", "", CUDA, precision, **options)


@pytest.mark.parametrize(
    "kind, precision, model, attention_name",
    [
        ("esm2", "fp16", fused.FusedESM2, "triton"),
        ("esm2", "bf16", fused.FusedESM2, "triton"),
        ("esm2", "fp32", esm2.ESM2, "sdpa"),
        ("esm2", "tf32", esm2.ESM2, "sdpa"),
        ("dnabert_s", "fp16", fused.FusedDnabertS, "triton"),
        ("dnabert_s", "fp8", fused.FusedDnabertS, "triton"),  # it has no 8-bit form
        ("dnabert_s", "fp32", dnabert_s.DnabertS, "sdpa"),
    ],
)
def test_the_path_on_a_gpu(card, monkeypatch, kind, precision, model, attention_name):
    engine = on_card(kind, precision, monkeypatch)
    assert type(engine.model) is model
    path = "plain" if engine.model is engine.encoder else "fused"
    assert engine.numerics["path"] == path and engine.numerics["attention"] == attention_name
    assert engine.numerics["precision"] == (
        "fp16" if (kind, precision) == ("dnabert_s", "fp8") else precision
    )
    assert engine.numerics["device"] == "cuda sm_90 x132"
    assert engine.token_budget == {"esm2": 33792, "dnabert_s": 67584}[kind]
    assert torch.backends.cuda.matmul.allow_tf32 == (precision == "tf32")


def test_that_dnabert_s_computes_in_16_bits_instead_of_8_is_reported(card, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    on_card("dnabert_s", "fp8", monkeypatch)
    assert "dnabert_s has no 8-bit form: it computes in fp16" in caplog.messages
    caplog.clear()
    on_card("dnabert_s", "fp16", monkeypatch)
    on_card("esm2", "fp16", monkeypatch)
    assert "8-bit" not in caplog.text


def test_a_small_card_has_a_smaller_budget(card, monkeypatch):
    card.total_memory = 65 << 20  # 80 % of it are 16,896 tokens of 50 * 32 numbers of 2 bytes
    assert on_card("esm2", "fp16", monkeypatch).token_budget == 33792 // 2


@pytest.mark.parametrize(
    "spare_bytes, budget",
    [(1, 33792), (-1, 33792 // 2)],  # in addition to weights and one batch
)
def test_the_weights_take_a_part_of_the_memory(card, monkeypatch, spare_bytes, budget):
    weights = 2 * sum(weight.numel() for weight in tiny("esm2").parameters())
    batch = 33792 * 50 * 32 * 2
    card.total_memory = (weights + batch + spare_bytes) / 0.8
    assert on_card("esm2", "fp16", monkeypatch).token_budget == budget


@pytest.mark.parametrize(
    "device, total_bytes, expected",
    [
        (CUDA, 1001 * 6 / 0.8, CUDA),  # 1000 weights in fp16, and again in float32
        (CUDA, 999 * 6 / 0.8, CPU),
        (CPU, 0, CPU),
    ],
)
def test_the_exact_model_goes_where_there_is_room(card, device, total_bytes, expected):
    card.total_memory = total_bytes
    assert memory.device_with_room(1000, torch.float16, device) == expected


def test_8_bits_on_a_gpu_have_a_path_of_their_own(card, monkeypatch):
    monkeypatch.setattr(fused_fp8, "FusedESM2Fp8", lambda encoder: ("8 bits", encoder))
    engine = on_card("esm2", "fp8", monkeypatch)
    assert engine.model == ("8 bits", engine.encoder) and engine.numerics["path"] == "fused"


def no_compiler(card, monkeypatch):
    monkeypatch.delenv("CC")
    monkeypatch.setattr(attention.shutil, "which", lambda _: None)


def old_card(card, monkeypatch):
    card.major, card.minor = 7, 5


def no_triton(card, monkeypatch):
    monkeypatch.setattr(attention.importlib.util, "find_spec", lambda _: None)


@pytest.mark.parametrize(
    "lack, words",
    [
        (no_compiler, "Triton needs a C compiler (gcc or clang on PATH, or CC)."),
        (old_card, "Triton needs compute capability 8.0 or newer."),
        (no_triton, "Triton is not installed."),
    ],
)
def test_without_triton_half_precision_takes_the_plain_path_and_says_why(
    card, monkeypatch, caplog, lack, words
):
    caplog.set_level(logging.INFO)
    lack(card, monkeypatch)
    engine = on_card("esm2", "fp16", monkeypatch)
    assert engine.model is engine.encoder
    assert engine.numerics["path"] == "plain" and engine.numerics["attention"] == "sdpa"
    assert f"the plain path, several times slower: {words}" in caplog.text
    with pytest.raises(InputError) as error:
        on_card("esm2", "fp16", monkeypatch, attention_name="triton")
    assert str(error.value) == f"--attention triton: {words} Use --attention auto."
    with pytest.raises(InputError) as error:
        on_card("esm2", "fp8", monkeypatch)
    assert str(error.value) == f"--precision fp8: {words} Use fp16."


def test_budget_and_room_count_the_weights_that_a_fused_form_frees(card, monkeypatch):
    def free_all(encoder):
        encoder.layers = torch.nn.ModuleList()
        return encoder.embed_tokens

    budget = on_card("esm2", "fp16", monkeypatch).token_budget
    seen = []
    monkeypatch.setattr(fused_fp8, "FusedESM2Fp8", free_all)
    monkeypatch.setattr(load, "device_with_room", lambda *a: seen.append(a[0]))
    card.total_memory = 65 << 20
    engine = on_card("esm2", "fp8", monkeypatch)
    assert engine.token_budget == budget // 2
    engine.exact()
    assert seen == [sum(weight.numel() for weight in tiny("esm2").parameters())]


def test_the_version_of_flash_attention_is_in_the_key(card, monkeypatch):
    monkeypatch.setattr(attention.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(devices, "version", lambda name: f"version of {name}")
    flash = on_card("esm2", "fp16", monkeypatch, attention_name="flash").numerics
    assert flash["attention"] == "flash" and flash["flash-attn"] == "version of flash-attn"
    assert "flash-attn" not in on_card("esm2", "fp16", monkeypatch).numerics


def test_8_bits_need_a_card_that_has_them(card, monkeypatch):
    card.major, card.minor = 8, 6
    with pytest.raises(InputError, match="8-bit products need compute capability 8.9 or newer"):
        on_card("esm2", "fp8", monkeypatch)
    assert type(on_card("esm2", "fp16", monkeypatch).model) is fused.FusedESM2


@pytest.mark.parametrize(
    "kind, name, precision, words",
    [
        ("dnabert_s", "varlen", "fp16", "it has no ALiBi, which DNABERT-S needs"),
        ("esm2", "varlen", "fp32", "it computes in half precision only"),
        ("esm2", "flash", "fp32", "it computes in half precision only"),
        ("esm2", "flash", "fp16", "the package flash-attn is not installed"),
    ],
)
def test_a_back_end_that_cannot_run_is_an_error(card, monkeypatch, kind, name, precision, words):
    with pytest.raises(InputError, match=f"--attention {name}: {words}"):
        on_card(kind, precision, monkeypatch, attention_name=name)
    card.major = 7
    with pytest.raises(InputError, match="it needs compute capability 8.0 or newer"):
        on_card(kind, precision, monkeypatch, attention_name=name)
