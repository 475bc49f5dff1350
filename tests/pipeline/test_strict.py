"""A sequence that an encoder has no vector for, in a pool of two samples."""

import csv
import json
from pathlib import Path

import torch
from conftest import Pipeline, Run, sha256, write_model_set

from virnucpro.cli.main import main
from virnucpro.models import component, esm2

# Only with the poison's TGG or CCA in a frame is there a tryptophan in it.
RECORDS = {"good": "GCC" * 40, "some": "CAC" * 40, "lost": "TGGCCCA" * 20}


def write_poisoned_set(folder: Path) -> Path:
    """Write a model set whose ESM-2 overflows in float32 for each frame with a W."""
    write_model_set(folder)
    torch.manual_seed(1)
    model = esm2.ESM2(esm2.Config(2, 64, 4))
    model.embed_tokens.weight.data[esm2.ALPHABET.index("W")] = 3e38
    component.write_component(folder / "esm2.safetensors", model)
    description = json.loads((folder / "modelset.json").read_text())
    description["components"]["esm2"]["sha256"] = sha256(folder / "esm2.safetensors")
    (folder / "modelset.json").write_text(json.dumps(description))
    return folder


def table(run: Run, *name: str) -> dict[str, dict[str, str]]:
    """Return the rows of a table by their first column."""
    with run.outdir.joinpath(*name).open() as text:
        return {next(iter(row.values())): row for row in csv.DictReader(text, delimiter="\t")}


def test_a_poison_sequence_is_listed_and_strict_fails_the_run(pipeline: Pipeline) -> None:
    pipeline.model_set = write_poisoned_set(pipeline.folder / "set")
    for sample, names in {"p": list(RECORDS), "q": ["good"]}.items():
        text = "".join(f">{name}\n{RECORDS[name]}\n" for name in names)
        (pipeline.folder / f"{sample}.fa").write_text(text)
    words = (
        "frame some_chunk_1R2: its vector is not finite, in float32 either (7 such frames in 2 "
        "sequences): left out."
    )

    run = pipeline.run("--input", "*.fa", "--save_embeddings")
    assert run.status == 0, run.output
    assert len([name for name in run.names("COMPLETED") if "EMBED_ESM2" in name]) == 1  # a pool
    assert run.output.count(f"Sample p: {words}") == run.output.count(words) == 1
    sequences = table(run, "p", "sequences.tsv")
    assert [row["reason"] for row in sequences.values()] == ["", "", "not_finite"]
    assert [row["frames"] for row in sequences.values()] == ["6", "5", "0"]
    summary = table(run, "summary.tsv")
    assert summary["p"]["warnings"].startswith(words) and summary["q"]["warnings"] == ""
    assert (summary["p"]["sequences"], summary["p"]["not_finite"]) == ("3", "1")
    assert json.loads(run.table("p", "provenance.json"))["warnings"] == [summary["p"]["warnings"]]
    assert run.table("q") == b"".join(run.table("p").splitlines(True)[:7])
    assert main(["verify", str(run.outdir)]) == 0

    strict = pipeline.run("--input", "*.fa", "--strict", "-resume")
    assert strict.status == 1
    assert (
        "frame some_chunk_1R2: its vector is not finite, in float32 either (7 of the 18 frames of "
        "its shard have no vector). Omit its sequence, or run without --strict"
    ) in strict.output
    assert "EMBED_ESM2" in strict.processes("CACHED")
    assert table(strict, "summary.tsv")["p"]["status"] == "failed"

    again = pipeline.run("--input", "*.fa", "-resume")
    assert again.status == 0, again.output
    assert again.output.count(f"Sample p: {words}") == 1  # of a cached task, too
    assert again.result_files().keys() == run.result_files().keys() - {
        str(path.relative_to(run.outdir)) for path in run.outdir.rglob("*.h5")
    }
