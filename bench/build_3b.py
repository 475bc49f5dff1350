"""How much memory and time does `models build` need for ESM-2 3B?

usage: bench/build_3b.py --work FOLDER [--half]
Writes bench/results/build_3b[_half].json; protocol: fair-esm's own ESM2 class with random weights
and the sizes of esm2_t36_3B_UR50D, saved in its format by torch.save (float32: 11.4 GB; --half:
float16, as the published file); a DNABERT-S folder of published sizes and a classifier of 3328
inputs. The command runs alone in a process, wait4 reports its peak memory. Then every tensor of the
component is compared with the source, bit for bit. FOLDER needs 25 GB and is emptied.
"""

import argparse
import json
import multiprocessing
import os
import platform
import shutil
import subprocess
import time
from importlib.metadata import version
from pathlib import Path

import esm
import numpy as np
import torch
from esm.model.esm2 import ESM2
from safetensors import safe_open

from virnucpro.model_import.torch_file import read_torch_file
from virnucpro.models import dnabert_s

ROOT = Path(__file__).parents[1]
LAYERS, WIDTH, HEADS = 36, 2560, 40
GIB = 1 << 30


def save_esm2(path: Path, *, half: bool) -> None:
    """Save random weights as in fair-esm's checkpoints; they need 6 or 12 GB of memory."""
    with torch.device("meta"):
        model = ESM2(LAYERS, WIDTH, HEADS, esm.Alphabet.from_architecture("ESM-1b"))
    torch.manual_seed(0)
    state = {}
    frequencies = 1.0 / (10000 ** (torch.arange(0, WIDTH // HEADS, 2).float() / (WIDTH // HEADS)))
    for name, tensor in model.state_dict().items():
        if name.startswith("contact_head"):
            continue
        where = "" if name.startswith("lm_head") else "sentence_encoder."
        value = frequencies if name.endswith("inv_freq") else torch.randn(tensor.shape) * 0.02
        if name == "lm_head.weight":
            value = state["encoder.sentence_encoder.embed_tokens.weight"]  # tied
        state[f"encoder.{where}{name}"] = value.half() if half else value
    settings = argparse.Namespace(
        encoder_layers=LAYERS,
        encoder_embed_dim=WIDTH,
        encoder_attention_heads=HEADS,
        token_dropout=True,
    )
    torch.save({"cfg": {"model": settings}, "model": state}, path)


def save_others(folder: Path) -> None:
    """Save DNABERT-S of its published sizes, and a classifier, with random weights."""
    (folder / "DNABERT-S").mkdir()
    model = dnabert_s.DnabertS(dnabert_s.Config(12, 768, 12, 3072, 4096)).state_dict()
    ours = {our: published for published, our in dnabert_s.PUBLISHED_NAMES.items()}
    state = {"embeddings.token_type_embeddings.weight": torch.zeros(2, 768)}
    for name, tensor in model.items():
        parts = name.rpartition(".")[0].split(".")
        general = ".".join("*" if part.isdigit() else part for part in parts)
        number = next((part for part in parts if part.isdigit()), "")
        if general in ours:
            published = ours[general].replace("*", number)
            state[f"{published}.{name.rpartition('.')[2]}"] = tensor
    torch.save(state, folder / "DNABERT-S/pytorch_model.bin")
    shutil.copy(ROOT / "models/compact-500/tokenizer.json", folder / "DNABERT-S")
    hidden = torch.nn.Linear(WIDTH + 768, 512)
    mlp = torch.nn.ModuleDict(
        {
            "hidden_layer": hidden,
            "bn1": torch.nn.BatchNorm1d(512),
            "output_layer": torch.nn.Linear(512, 2),
        }
    )
    torch.save(mlp.state_dict(), folder / "classifier.pth")


def build(folder: Path) -> tuple[float, float]:
    """Return seconds and peak GiB of the command."""
    command = ["virnucpro", "models", "build", "-o", folder / "set", "--chunk-length", "500"]
    command += ["--esm2", folder / "esm2.pt", "--dnabert-s", folder / "DNABERT-S"]
    command += ["--classifier", folder / "classifier.pth"]
    start = time.monotonic()
    process = subprocess.Popen(list(map(str, command)))
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, status
    return time.monotonic() - start, usage.ru_maxrss * 1024 / GIB


def compare(folder: Path) -> int:
    """Return how many tensors of the ESM-2 component are the source's, bit for bit."""
    file = read_torch_file(folder / "esm2.pt")
    source = {
        name.removeprefix("encoder.sentence_encoder."): tensor
        for name, tensor in file.tensors(file.value["model"]).items()
    }
    names = {
        "norm1": "self_attn_layer_norm",
        "norm2": "final_layer_norm",
        "out": "self_attn.out_proj",
    }
    description = json.loads((folder / "set/modelset.json").read_text())
    count = 0
    with safe_open(folder / "set" / description["components"]["esm2"]["file"], "numpy") as built:
        for name in built.keys():  # noqa: SIM118
            module, _, kind = name.rpartition(".")
            layer, _, last = module.rpartition(".")
            if last == "qkv":
                parts = [f"{layer}.self_attn.{part}_proj.{kind}" for part in "qkv"]
            else:
                parts = [f"{layer}.{names.get(last, last)}.{kind}".lstrip(".")]
            expected = np.concatenate([source[part].read() for part in parts])
            assert np.array_equal(built.get_tensor(name), expected), name
            count += 1
    return count


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--half", action="store_true")
    args = parser.parse_args()
    args.work.mkdir()
    try:
        # In a process of its own, which gives its memory back before the command runs.
        maker = multiprocessing.get_context("spawn").Process(
            target=save_esm2, args=(args.work / "esm2.pt",), kwargs={"half": args.half}
        )
        maker.start()
        maker.join()
        assert maker.exitcode == 0, maker.exitcode
        save_others(args.work)
        source_gb = (args.work / "esm2.pt").stat().st_size / 1e9
        elapsed_s, peak_gib = build(args.work)
        result = {
            "source_gb": round(source_gb, 2),
            "elapsed_s": round(elapsed_s, 1),
            "peak_gib": round(peak_gib, 2),
            "tensors_equal_to_source": compare(args.work),
            "versions": {name: version(name) for name in ("torch", "numpy", "fair-esm")},
            "machine": f"{platform.machine()}, python {platform.python_version()}",
        }
    finally:
        shutil.rmtree(args.work)
    print(json.dumps(result))
    name = f"build_3b{'_half' if args.half else ''}.json"
    (ROOT / "bench/results" / name).write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
