"""PREPARE_TRAINING, TRAIN_CLASSIFIER and EVALUATE_CLASSIFIER on made-up genomes and vectors."""

import csv
import json
import runpy
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from embeddings_file import write_embeddings

from virnucpro.consensus.calibration_file import load_calibration
from virnucpro.embeddings.store import Provenance, read_embeddings
from virnucpro.errors import InputError
from virnucpro.model_sets.description import read_model_set
from virnucpro.scoring.classifier import load_classifier, save_classifier
from virnucpro.sequences.reader import InputFile
from virnucpro.sequences.split_task import split_sample
from virnucpro.sequences.translate_task import translate_shard
from virnucpro.training import classifier_training as making
from virnucpro.training.chunk_table import read_chunk_table
from virnucpro.training.classifier_training import RECIPES, frame_weights, train_classifier
from virnucpro.training.evaluate_task import evaluate
from virnucpro.training.examples import Examples, Vectors, read_examples
from virnucpro.training.genomes import GENOMES_HEADER, Genome, read_genomes
from virnucpro.training.measures import auroc, chunk_scores
from virnucpro.training.prepare_task import PreparationInputs, genome_exons, prepare
from virnucpro.training.train_task import train

ROOT = Path(__file__).parents[2]
CHUNK_BP = 90
DNA_WIDTH, PROTEIN_WIDTH = 5, 3
CODONS = ("GCT", "AAA", "GAC", "CTG", "ACC", "CAC")
BASE = {
    "name": "mine", "base": {"name": "b", "digest": "0" * 64}, "chunk_bp": CHUNK_BP,
    "frame_rule": "open", "licence": "any", "pipeline_version": "0",
    "components": {
        "dnabert_s": {"file": "../b/d", "sha256": "d" * 64, "width": DNA_WIDTH},
        "tokenizer": {"file": "../b/t", "sha256": "f" * 64},
        "esm2": {"file": "../b/e", "sha256": "e" * 64, "width": PROTEIN_WIDTH},
    },
}  # fmt: skip


@pytest.fixture(autouse=True)
def torch_as_before():
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(strict)


def dna(rng, num_codons=800):
    return "".join(rng.choice(CODONS, num_codons))


def reverse_complement(sequence):
    return sequence.translate(str.maketrans("ACGT", "TGCA"))[::-1]


def write_genome(folder, genome, sequence, rng):
    """Run SPLIT and TRANSLATE, and make up vectors that tell the label with some noise."""
    (folder / "in.fa").write_text(f">{genome.id}_r\n{sequence}\n")
    split_sample(genome.id, [InputFile(folder / "in.fa")], CHUNK_BP, 0, folder)
    stem = f"{genome.id}.00001"
    names = [f"{stem}.{suffix}" for suffix in ("frames.fna", "frames.faa", "chunks.tsv")]
    translate_shard(folder / f"{stem}.chunks.fna", *(folder / name for name in names))
    ids = [line[1:] for line in (folder / names[1]).read_text().splitlines()[::2]]
    sign = 1 if genome.label == "viral" else -1
    for file, width, sha, tokenizer in (
        ("dnabert_s", DNA_WIDTH, "d", "f"),
        ("esm2", PROTEIN_WIDTH, "e", ""),
    ):
        vectors = rng.normal(0, 1, (len(ids), width)) + 0.3 * sign + 2
        origin = Provenance("any", sha * 64, tokenizer * 64, "", {}, 1, 0)
        write_embeddings(folder / f"{stem}.{file}.h5", ids, vectors.astype(np.float32), origin)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder, and 8 groups of each label in it; one genome of train repeats one of test."""
    folder = tmp_path_factory.mktemp("genomes")
    rng = np.random.default_rng(0)
    parts = ["train", "train", "train", "train", "val", "val", "test", "test"]
    genomes, last = [], ""
    for label in ("viral", "nonviral"):
        for n, part in enumerate(parts[::-1]):
            genome = Genome(
                f"{label}{n}",
                label,
                f"kind {n % (2 if label == 'viral' else 3)}",
                f"{label} {n}",
                part,
            )
            copies = label == "viral" and n == 7
            last = dna(rng) if n == 0 else last
            write_genome(
                folder,
                genome,
                reverse_complement(last) if copies else last if n == 0 else dna(rng),
                rng,
            )
            genomes.append(genome)
    return folder, genomes


@pytest.fixture(scope="module")
def prepared(data, tmp_path_factory):
    folder, genomes = data
    out = tmp_path_factory.mktemp("prepared")
    prepare(
        PreparationInputs(genomes, folder, folder, CHUNK_BP, 1, 50),
        out / "chunks.tsv",
        out / "split.tsv",
    )
    return out


def vectors(data):
    return Vectors(data[0], "d" * 64, "f" * 64, "e" * 64)


def examples(data, prepared, part):
    return read_examples(prepared / "chunks.tsv", vectors(data), part)


def test_a_frame_without_a_vector_is_refused_with_its_name(data, prepared, tmp_path):
    folder = shutil.copytree(data[0], tmp_path / "genomes")
    path = folder / "viral5.00001.esm2.h5"
    ids, features, provenance = read_embeddings(path)
    features[3] = np.nan
    write_embeddings(path, ids, features, provenance, (np.arange(len(ids)) == 3).astype(np.uint8))
    with pytest.raises(InputError, match=f"frame {ids[3]}: its vector is not finite.*Omit its seq"):
        for part in ("train", "val"):
            read_examples(prepared / "chunks.tsv", replace(vectors(data), folder=folder), part)


def train_into(out, data, prepared, **changes):
    arguments = {
        "trainer": "adamw", "seed": 3, "threads": 1, "balance": "label", "training_frames": "all",
        "max_epochs": 6,
    } | changes  # fmt: skip
    train(prepared / "chunks.tsv", vectors(data), **arguments, out=out)


def test_every_chunk_has_a_row_and_a_repeated_one_is_dropped_from_the_training_side(data, prepared):
    rows = list(read_chunk_table(prepared / "chunks.tsv"))
    split = list(csv.DictReader((prepared / "split.tsv").read_text().splitlines(), delimiter="\t"))
    assert [row["genome"] for row in split] == [g.id for g in data[1]]
    assert len(rows) == sum(int(row["chunks"]) for row in split)
    own = {row["genome"]: row for row in split}
    assert own["viral7"]["split"] == "train" and own["viral0"]["split"] == "test"
    # the reverse complement is cut at other places but at its ends, where chunks are the same
    assert int(own["viral7"]["dropped"]) > 0 and own["viral0"]["dropped"] == "0"
    dropped = [row for row in rows if row.part == "dropped"]
    assert {row.genome for row in dropped} == {"viral7"}
    assert not {r.chunk_id for r in dropped} & {
        r.chunk_id for r in examples(data, prepared, "train").rows
    }


def test_the_genomes_come_by_stdin(data, prepared, tmp_path, monkeypatch):
    folder, genomes = data
    text = GENOMES_HEADER + "".join("\t".join(vars(g).values()) + "\n" for g in genomes)
    assert read_genomes(text.splitlines(keepends=True)) == genomes
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").write_text(text)
    main = runpy.run_path(str(ROOT / "bin/vnp_prepare_training.py"))["main"]
    argv = ["--chunks", str(folder), "--annotations", str(folder), "--chunk-length", str(CHUNK_BP)]
    monkeypatch.setattr("sys.stdin", (tmp_path / "in").open())
    assert main([*argv, "--seed", "1", "--calibrate"]) == 0
    assert Path("training_chunks.tsv").read_bytes() == (prepared / "chunks.tsv").read_bytes()
    with pytest.raises(InputError, match="must begin with 'id"):
        read_genomes(["id\n", "x\n"])


def test_a_missing_genome_and_a_small_val_part_are_refused(data, tmp_path):
    folder, genomes = data
    outputs = tmp_path / "a", tmp_path / "b"
    missing = [*genomes, Genome("lost", "viral", "x", "y")]
    with pytest.raises(InputError, match="genome lost: lost.records.tsv is missing. Its FASTA"):
        prepare(PreparationInputs(missing, folder, folder, CHUNK_BP, 1), *outputs)
    with pytest.raises(InputError, match="calibration needs 999, of two groups.*--calibrate none"):
        prepare(PreparationInputs(genomes, folder, folder, CHUNK_BP, 1, 999), *outputs)


def test_training_on_coding_frames_leaves_val_alone(data, tmp_path):
    folder, genomes = data
    lines = []
    for n, genome in enumerate(genomes):
        lines.append(f"{genome.id}_r\tx\tCDS\t1\t2400\t.\t+\t0\tx\n")
        genomes = [*genomes[:n], replace(genome, annotation="all.gff"), *genomes[n + 1 :]]
    (tmp_path / "all.gff").write_text("".join(lines))
    table = tmp_path / "chunks.tsv"
    prepare(
        PreparationInputs(genomes, folder, tmp_path, CHUNK_BP, 1), table, tmp_path / "split.tsv"
    )
    coding = read_examples(table, vectors(data), "train", coding_only=True)
    whole = read_examples(table, vectors(data), "train")
    assert 0 < len(coding.chunk) < len(whole.chunk)
    # a gene read in the first frame of the genome: one coding frame for each chunk, on F
    assert len(coding.chunk) == len(coding.rows)
    assert all(row.coding[0] == "F" for row in coding.rows)
    train_into(tmp_path, data, tmp_path, training_frames="coding", max_epochs=1)
    note = json.loads((tmp_path / "training.json").read_text())
    assert note["train_frames"] == len(coding.chunk)
    assert note["val_chunks"] == len(read_examples(table, vectors(data), "val").rows)
    other = [replace(g, annotation="other.gff") for g in genomes]
    (tmp_path / "other.gff").write_text(lines[0].replace("_r", "_s"))
    for text, words in (
        (lines[0].replace("_r", "_s"), "other.gff is of viral0_s, its FASTA file has viral0_r"),
        (lines[0].replace("2400", "2401"), "a CDS up to 2401 of viral0_r, which is 2400 bp"),
    ):
        (tmp_path / "other.gff").write_text(text)
        with pytest.raises(InputError, match=words):
            prepare(
                PreparationInputs(other, folder, tmp_path, CHUNK_BP, 1),
                table,
                tmp_path / "split.tsv",
            )


def test_sequences_of_one_name_have_no_annotation_and_those_without_cds_are_logged(
    tmp_path, caplog
):
    caplog.set_level("INFO")
    (tmp_path / "in.fa").write_text(f">a\n{'GCT' * 60}\n>b\n{'AAA' * 60}\n>b\n{'GAC' * 60}\n")
    split_sample("g", [InputFile(tmp_path / "in.fa")], CHUNK_BP, 0, tmp_path)
    translate_shard(*(tmp_path / f"g.00001.{name}" for name in
                      ("chunks.fna", "frames.fna", "frames.faa", "chunks.tsv")))  # fmt: skip
    genomes = [Genome("g", "viral", "x", "y", "train", "g.gff")]
    inputs = PreparationInputs(genomes, tmp_path, tmp_path, CHUNK_BP, 1)
    (tmp_path / "g.gff").write_text("b\tx\tCDS\t1\t180\t.\t+\t0\tx\n")
    with pytest.raises(InputError, match="genome g: 2 of its sequences are named b"):
        genome_exons(inputs, genomes[0])
    (tmp_path / "g.gff").write_text("a\tx\tCDS\t1\t180\t.\t+\t0\tx\n")
    assert genome_exons(inputs, genomes[0])
    assert "genome g: no CDS in b" in caplog.text


@pytest.mark.parametrize("trainer", sorted(RECIPES))
def test_the_weights_of_the_best_epoch_are_kept(data, prepared, trainer):
    """The original returns those of the last one."""
    recipe = replace(RECIPES[trainer], max_epochs=8, patience=3, rate=0.05)
    trained = train_classifier(examples(data, prepared, "train"), examples(data, prepared, "val"), recipe, 1, 1)  # fmt: skip
    last = trained.history[-1]
    assert trained.best.epoch < last.epoch <= trained.best.epoch + 3
    key = {"auroc": lambda e: -e.val_auroc, "loss": lambda e: e.val_loss}[recipe.criterion]
    assert min(map(key, trained.history)) == key(trained.best) < key(last)
    assert val_auroc(trained, data, prepared) == pytest.approx(trained.best.val_auroc, abs=1e-4)
    assert abs(last.val_auroc - trained.best.val_auroc) > 1e-4  # so that the line above can fail


def val_auroc(trained, data, prepared):
    """Return what the classifier reaches the way prediction runs it."""
    path = prepared / "again.safetensors"
    save_classifier(path, trained.tensors)
    val = examples(data, prepared, "val")
    dna_rows, protein = val.features[:, :DNA_WIDTH], val.features[:, DNA_WIDTH:]
    p_other, p_virus = load_classifier(path).scores(dna_rows, protein).astype(float).T
    return auroc(val.labels, chunk_scores(val.chunk, np.log(p_virus) - np.log(p_other)))


def test_the_same_seed_gives_the_same_bytes(data, prepared, tmp_path):
    results = {}
    for name, changes in (
        ("a", {}),
        ("b", {}),
        ("seed", {"seed": 4}),
        ("original", {"trainer": "original"}),
        ("class", {"balance": "class"}),
    ):
        (tmp_path / name).mkdir()
        train_into(tmp_path / name, data, prepared, **changes)
        results[name] = (tmp_path / name / "classifier.safetensors").read_bytes()
    assert results["a"] == results["b"]
    assert len(set(results.values())) == 4
    assert len((tmp_path / "a/history.tsv").read_text().splitlines()) == 7  # max_epochs


def test_labels_and_classes_are_balanced_and_chunks_by_recipe(data, prepared):
    found = examples(data, prepared, "train")
    kept = [n for n, row in enumerate(found.rows) if (row.label, row.kind) != ("viral", "kind 0")]
    chosen = np.isin(found.chunk, kept[::3] + [n for n in range(len(found.rows)) if n % 5 == 0])
    _, chunk = np.unique(found.chunk[chosen], return_inverse=True)
    some = Examples(
        found.features[chosen], chunk, [found.rows[n] for n in np.unique(found.chunk[chosen])]
    )
    adamw, original = RECIPES["adamw"], RECIPES["original"]
    labels = some.labels[some.chunk]
    kinds = np.array([some.rows[c].kind for c in some.chunk])
    for recipe in (adamw, original):
        for by_class in (False, True):
            weights = frame_weights(some, recipe, by_class=by_class)
            assert weights.mean() == pytest.approx(1)
            assert weights[labels == 1].sum() == pytest.approx(weights[labels == 0].sum(), rel=1e-4)
            parts = [weights[(labels == 1) & (kinds == k)].sum() for k in ("kind 0", "kind 1")]
            assert (parts[0] == pytest.approx(parts[1], rel=1e-4)) == by_class
    viral = [np.bincount(some.chunk, frame_weights(some, adamw))[some.labels == 1]]
    assert np.ptp(viral) == pytest.approx(0, abs=1e-4)  # chunks weigh the same
    assert np.ptp(frame_weights(some, original)[labels == 1]) == pytest.approx(0, abs=1e-5)


def test_a_single_last_frame_joins_the_batch_before():
    assert [len(rows) for rows in making._batches(9, 4)] == [4, 5]
    assert [len(rows) for rows in making._batches(10, 4)] == [4, 4, 2]
    assert sorted(torch.cat(list(making._batches(9, 4))).tolist()) == list(range(9))


def test_vectors_of_other_encoders_and_other_frames_are_refused(data, prepared, tmp_path):
    table = prepared / "chunks.tsv"
    with pytest.raises(InputError, match="was made by the encoder dddddddddddd…"):
        read_examples(table, Vectors(data[0], "0" * 64), "val")
    with pytest.raises(InputError, match="frames.faa, .* is missing. Resume"):
        read_examples(table, Vectors(tmp_path), "val")


@pytest.fixture
def trained(data, prepared, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train_into(tmp_path, data, prepared)
    return {
        "table": prepared / "chunks.tsv", "split": prepared / "split.tsv", "vectors": vectors(data),
        "classifier": Path("classifier.safetensors"), "history": Path("history.tsv"),
        "training": Path("training.json"), "base": BASE, "method": "temperature",
    }  # fmt: skip


def test_the_set_is_complete_calibrated_and_measured_on_test(data, prepared, trained):
    evaluate(**trained)
    found = read_model_set(Path("mine"))
    assert (found.name, found.component("esm2").path) == ("mine", Path("mine/../b/e"))
    entry = found.component("classifier")
    assert load_classifier(entry.path, entry.sha256).input_width == DNA_WIDTH + PROTEIN_WIDTH
    (calibration,) = found.description["calibration"]
    assert (calibration["chunk_bp"], calibration["frame_rule"]) == (CHUNK_BP, "open")
    assert (
        load_calibration(Path("mine") / calibration["file"], calibration["sha256"])
        .bins[0]
        .min_chunks
        == 1
    )
    metrics = json.loads(Path("mine/metrics.json").read_text())
    assert set(metrics["figures"]) == {"test", "val", "test_uncalibrated"}
    total = metrics["figures"]["test"]["all"]["all"]
    rows = [r for r in read_chunk_table(prepared / "chunks.tsv") if r.part == "test"]
    assert (total["chunks"], total["viral"]) == (len(rows), sum(r.label == "viral" for r in rows))
    assert total["auroc"] > 0.75 and total["ece"] < 0.2
    assert found.description["measured"]["test"] == total
    table = list(csv.DictReader(Path("mine/metrics.tsv").read_text().splitlines(), delimiter="\t"))
    assert float(table[0]["auroc"]) == total["auroc"] and table[0]["part"] == "test"
    card = Path("mine/README.md").read_text()
    assert f"| AUROC | {total['auroc']:.4f} |" in card and "By temperature" in card
    assert Path("mine/curves.svg").read_text().count("<path") == 2 * 4 + 2
    assert not list(Path().glob(".*"))


def test_without_calibration_scores_are_taken_as_they_are(trained):
    evaluate(**trained | {"method": None, "base": BASE | {"name": "raw"}})
    evaluate(**trained | {"method": "isotonic"})
    assert json.loads(Path("raw/modelset.json").read_text())["calibration"] is None
    raw, calibrated = (json.loads((Path(s) / "metrics.json").read_text()) for s in ("raw", "mine"))
    assert set(raw["figures"]) == {"test", "val"}
    assert raw["figures"]["test"] == calibrated["figures"]["test_uncalibrated"]
    assert calibrated["calibration"]["method"] == "isotonic"
    assert "scores are not probabilities" in Path("raw/README.md").read_text()


def test_the_test_part_changes_neither_classifier_nor_calibration(
    data, prepared, trained, tmp_path
):
    """What the test chunks are must not matter to anything but the figures."""
    evaluate(**trained)
    text = (prepared / "chunks.tsv").read_text()
    swapped = "".join(
        line.replace("\tnonviral\t", "\tVIRAL\t").replace("\tviral\t", "\tnonviral\t").replace("\tVIRAL\t", "\tviral\t")
        if line.endswith("\ttest\n") else line
        for line in text.splitlines(keepends=True)
    )  # fmt: skip
    (tmp_path / "chunks.tsv").write_text(swapped)
    (tmp_path / "again").mkdir()
    train_into(tmp_path / "again", data, tmp_path)
    evaluate(**trained | {"table": tmp_path / "chunks.tsv", "base": BASE | {"name": "other"}})
    first, again = (
        trained["classifier"].read_bytes(),
        (tmp_path / "again/classifier.safetensors").read_bytes(),
    )
    assert first == again
    name = "calibration-90-open.json"
    assert Path("mine", name).read_bytes() == Path("other", name).read_bytes()
    figures = [
        json.loads((Path(s) / "metrics.json").read_text())["figures"] for s in ("mine", "other")
    ]
    assert figures[0]["val"] == figures[1]["val"]
    assert figures[0]["test"]["all"]["all"]["auroc"] == pytest.approx(
        1 - figures[1]["test"]["all"]["all"]["auroc"]
    )
