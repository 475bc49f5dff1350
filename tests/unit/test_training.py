import gzip
import importlib.util
import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from virnucpro.calls.classifier import load_classifier
from virnucpro.errors import InputError
from virnucpro.models import dnabert_s, esm2
from virnucpro.models.component import file_sha256, load_component
from virnucpro.models.tokenizers import BpeTokenizer
from virnucpro.training import compact
from virnucpro.training import write_set as writing
from virnucpro.training.compact import (
    Head,
    Recipe,
    Trainer,
    corrupted,
    lay_out,
    rate_factor,
)
from virnucpro.training.labelled import cropped, read_frames
from virnucpro.training.measures import auroc, chunk_scores, measure

CPU = torch.device("cpu")
PROJECT = Path(__file__).resolve().parents[2]
TOKENIZER = PROJECT / "models/compact-500/tokenizer.json"
CHUNK_BP = 90
TINY = Recipe(
    esm2.Config(1, 16, 2),
    dnabert_s.Config(1, 16, 2, 24, 4096),
    hidden=8,
    steps=2,
    warmup_steps=1,
    chunks_per_step=8,
    steps_between_measures=1,
)
CODONS = {"viral": ("GCT", "AAA", "ATT"), "nonviral": ("GGC", "CTG", "GAC")}
STOPS_EVERYWHERE = "TAACTAACTAA".ljust(CHUNK_BP // 2, "C") + "TTAGTTAGTTA".ljust(CHUNK_BP // 2, "C")
RELATED = "S_train_viral_0"


@pytest.fixture(autouse=True)
def one_thread():
    """Keep tiny products from waiting for a second, busy core."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder of labelled chunks: 12 of each kind and split, each from a source of its own."""
    folder = tmp_path_factory.mktemp("labelled")
    chunks = folder / f"{CHUNK_BP}bp"
    chunks.mkdir()
    rng = np.random.default_rng(0)
    manifest = ["id\tclass\tsource_seq"]
    for split in ("train", "val"):
        for kind, codons in CODONS.items():
            lines = []
            for n in range(12):
                name = f"{split}_{kind}_{n}"
                chunk = "".join(rng.choice(codons, CHUNK_BP // 3)) if n < 11 else STOPS_EVERYWHERE
                lines.append(f">{name} text\n{chunk[:60]}\n{chunk[60:]}\n")
                manifest.append(f"{name}\t{kind} {n % 2}\tS_{name}")
            (chunks / f"{split}.{kind}.fa.gz").write_bytes(gzip.compress("".join(lines).encode()))
    text = "\n".join(manifest) + "\n"
    (chunks / "manifest.tsv.gz").write_bytes(gzip.compress(text.encode()))
    related = f"val_source\ttrain_source\nS_val_viral_1\t{RELATED}\n"
    (folder / "related_train_val.tsv").write_text(related)
    return folder


@pytest.fixture(scope="module")
def frames(data):
    return read_frames(data, CHUNK_BP, "train"), read_frames(data, CHUNK_BP, "val")


@pytest.fixture
def trainer(frames):
    return Trainer(TINY, BpeTokenizer(TOKENIZER), *frames, CPU, seed=3)


def pairs_won(labels, scores):
    """Return AUROC by its definition."""
    ones, zeros = scores[labels == 1], scores[labels == 0]
    return np.mean([[(a > b) + (a == b) / 2 for b in zeros] for a in ones])


@pytest.mark.parametrize("levels", [3, 1000], ids=["many ties", "few ties"])
def test_auroc_is_the_share_of_pairs_in_order(levels):
    rng = np.random.default_rng(levels)
    labels = rng.integers(2, size=60)
    scores = rng.integers(levels, size=60) + labels * levels / 4
    assert auroc(labels, scores) == pytest.approx(pairs_won(labels, scores), abs=1e-12)


@pytest.mark.parametrize("scores, expected", [([1, 2, 3], 1.0), ([3, 2, 1], 0.0), ([2, 2, 2], 0.5)])
def test_auroc_of_known_orders(scores, expected):
    assert auroc(np.array([0, 0, 1]), np.array(scores)) == expected


def test_a_chunk_scores_the_mean_of_its_extreme_frames():
    chunk = np.array([0, 1, 1, 1, 2, 2])
    logits = np.array([0.5, -3.0, 1.0, 0.0, 2.0, -2.0])
    assert chunk_scores(chunk, logits).tolist() == [0.5, -1.0, 0.0]


def test_measures_count_calls_by_label_and_class(frames):
    val = frames[1]
    labels = val.labels[val.chunk]
    perfect = measure(val, np.where(labels == 1, 1.0, -1.0))
    assert (perfect.chunk_auroc, perfect.sensitivity, perfect.specificity) == (1.0, 1.0, 1.0)
    assert perfect.called_virus == {
        "nonviral 0": 0.0,
        "nonviral 1": 0.0,
        "viral 0": 1.0,
        "viral 1": 1.0,
    }
    all_virus = measure(val, np.ones(len(labels)))
    assert (all_virus.sensitivity, all_virus.specificity) == (1.0, 0.0)
    assert all_virus.open_share == 22 / 24  # one chunk of each kind is full of stops


def test_sources_related_to_validation_are_not_trained_on(data, frames):
    train, val = frames
    assert sum(train.class_totals.values()) == 23 and sum(val.class_totals.values()) == 24
    (line,) = [
        entry
        for entry in gzip.decompress((data / f"{CHUNK_BP}bp/train.viral.fa.gz").read_bytes())
        .decode()
        .split(">")
        if entry.startswith(RELATED.removeprefix("S_") + " ")
    ]
    chunk = line.split("\n", 1)[1].replace("\n", "")
    assert not any(dna in chunk for dna in train.dna)


def test_frames_of_a_chunk_keep_its_label(frames):
    train = frames[0]
    starts = {0: {"G", "C"}, 1: {"G", "A"}}  # of the first frame, by the codons of its kind
    assert (np.diff(train.chunk) >= 0).all() and set(train.chunk) == set(range(len(train.labels)))
    for chunk, label in enumerate(train.labels):
        first = train.dna[int(np.searchsorted(train.chunk, chunk))]
        assert first[0] in starts[label]


def test_a_folder_without_the_files_is_refused(tmp_path):
    with pytest.raises(InputError, match="Give the folder of labelled chunks"):
        read_frames(tmp_path, 500, "train")


def test_a_crop_is_the_same_part_of_dna_and_protein(frames):
    train = frames[0]
    dna, protein = cropped(train, (0.5,), np.random.default_rng(0))
    assert not all(map(str.startswith, train.protein, protein))
    for whole_dna, whole, bases, residues in zip(
        train.dna, train.protein, dna, protein, strict=True
    ):
        assert len(residues) == len(whole) // 2
        starts = [m.start() for m in re.finditer(f"(?={residues})", whole)]
        assert any(bases == whole_dna[3 * s : 3 * (s + len(residues)) + 1] for s in starts)


def test_corruption_exchanges_about_the_share_and_no_edges():
    torch.manual_seed(0)
    ids = torch.randint(4, 1000, (200, 50))
    ids[:, 0], ids[:, -1] = 1, 2
    changed = corrupted(ids.flatten(), 0.2).view(200, 50)
    assert (changed[:, 0] == 1).all() and (changed[:, -1] == 2).all()
    assert not ((changed[:, 1:-1] == 1) | (changed[:, 1:-1] == 2)).any()
    assert 0.15 < (changed != ids)[:, 1:-1].float().mean() < 0.25
    assert torch.equal(corrupted(ids.flatten(), 0.0), ids.flatten())


def test_the_learning_rate_rises_then_falls_to_zero():
    recipe = replace(TINY, steps=30, warmup_steps=10)
    assert [rate_factor(s, recipe) for s in (0, 9, 10, 20)] == pytest.approx([0.1, 1, 1, 0.5])
    assert rate_factor(30, recipe) == pytest.approx(0)


def test_vectors_and_gradients_of_mixed_lengths_are_those_of_each_sequence_alone(trainer):
    """Tell whether packing brings vectors back in order, and whether pooling can be trained."""
    model = trainer.network.esm2.eval()
    tokens = [np.array([0, *range(4, 4 + n), 2], dtype=np.int32) for n in (5, 2, 7, 2, 1)]
    weights = torch.randn(5, 16)

    def vectors_and_gradient(groups):
        model.zero_grad()
        vectors = []
        for group in groups:
            packed = lay_out(group, CPU)
            vectors.append(model.pool(model(packed.ids, packed.batch), packed.batch)[packed.order])
        together = torch.cat(vectors)
        (together * weights).sum().backward()
        return together.detach(), model.layers[0].qkv.weight.grad.clone()

    packed, packed_gradient = vectors_and_gradient([tokens])
    alone, alone_gradient = vectors_and_gradient([[ids] for ids in tokens])
    torch.testing.assert_close(packed, alone)
    torch.testing.assert_close(packed_gradient, alone_gradient)


def test_training_learns(frames):
    recipe = replace(TINY, steps=20, chunks_per_step=16, steps_between_measures=20, peak_rate=1e-2)
    trainer = Trainer(recipe, BpeTokenizer(TOKENIZER), *frames, CPU, seed=3)
    before = measure(frames[1], trainer.logits(trainer._val_tokens))
    trainer.run()
    after = measure(frames[1], trainer.logits(trainer._val_tokens))
    assert before.chunk_accuracy == 0.5  # all are called the same
    assert after.chunk_accuracy > 0.9 and after.chunk_auroc > 0.95  # the kinds share no codon


def test_the_best_step_is_restored_not_the_last(trainer, monkeypatch):
    seen = []

    def measure_worse_each_time(frames, logits):
        seen.append(logits)
        return replace(measure(frames, logits), chunk_auroc=0.9 - 0.1 * len(seen))

    monkeypatch.setattr(compact, "measure", measure_worse_each_time)
    assert trainer.run() == {"step": 1, "chunk_auroc": pytest.approx(0.8)}
    again = trainer.logits(trainer._val_tokens)
    assert np.array_equal(again, seen[0]) and not np.array_equal(again, seen[-1])


def test_equal_seeds_give_equal_networks(frames):
    runs = []
    for seed in (3, 3, 4):
        trainer = Trainer(TINY, BpeTokenizer(TOKENIZER), *frames, CPU, seed=seed)
        trainer.run()
        runs.append(trainer.network.state_dict())
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[0])
    assert not torch.equal(runs[0]["esm2.layers.0.qkv.weight"], runs[2]["esm2.layers.0.qkv.weight"])


def test_statistics_are_those_of_all_features():
    head = Head(6, 4)
    features = np.random.default_rng(0).normal(2, 3, (50, 6)).astype(np.float32)
    writing.renew_statistics(head, features)
    head.bn1.weight.data.fill_(1)
    with torch.no_grad():
        normed = head.eval().bn1(head.hidden_layer(torch.from_numpy(features)))
    torch.testing.assert_close(normed.mean(0), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(normed.var(0), torch.ones(4), atol=1e-4, rtol=0)


def test_a_written_set_is_loaded_and_scores_as_it_says(tmp_path, trainer, frames):
    run = dict.fromkeys(["best_step", "command", "device", "seed", "steps", "torch"], "x")
    trainer.run()
    measures = writing.write_set(tmp_path, CHUNK_BP, trainer.network, TOKENIZER, *frames, run)
    text = (tmp_path / "modelset.json").read_text()
    described = json.loads(text)
    assert text == json.dumps(described, indent=2, sort_keys=True) + "\n"
    assert described["name"] == "compact-90" and described["chunk_bp"] == [90]
    assert described["measured"] == asdict(measures) | {"run": run}
    assert f"| {measures.chunk_auroc:.4f} |" in (tmp_path / "README.md").read_text()
    parts = described["components"]
    files = {part["file"] for part in parts.values()}
    assert {path.name for path in tmp_path.iterdir()} == files | {"modelset.json", "README.md"}

    for name in ("dnabert_s", "esm2"):
        part = parts[name]
        path = tmp_path / part["file"]
        half = load_component(path, part["sha256"], CPU, torch.float16).state_dict()
        trained = getattr(trainer.network, name).state_dict()
        assert all(torch.equal(half[key], trained[key].half()) for key in trained)
        assert (part["architecture"], part["width"], part["dtype"]) == (name, 16, "float16")
    classifier = load_classifier(tmp_path / "classifier.safetensors", parts["classifier"]["sha256"])
    assert classifier.input_width == parts["classifier"]["input_width"] == 32
    assert parts["tokenizer"]["sha256"] == file_sha256(TOKENIZER)

    encoders = writing._load_encoders(tmp_path, CPU)
    features = torch.from_numpy(np.concatenate(encoders.embed(frames[0]), axis=1))
    head = trainer.network.head
    with torch.no_grad():
        torch.testing.assert_close(head.bn1.running_mean, head.hidden_layer(features).mean(0))

    # the numpy classifier on stored encoders is the network that was trained, but for rounding
    scores = classifier.scores(*encoders.embed(frames[1]))
    logits = trainer.logits(trainer._val_tokens)
    np.testing.assert_allclose(scores[:, 1], 1 / (1 + np.exp(-logits)), atol=5e-3)


def test_the_tool_reports_a_wrong_folder(tmp_path, capsys):
    spec = importlib.util.spec_from_file_location("tool", PROJECT / "tools/train_compact.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert tool.main(["--data", str(tmp_path), "--out", str(tmp_path / "set")]) == 2
    assert f"{tmp_path}: cannot be read" in capsys.readouterr().err


def test_the_tool_trains_a_set(tmp_path, data, monkeypatch):
    spec = importlib.util.spec_from_file_location("tool", PROJECT / "tools/train_compact.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    monkeypatch.setattr(tool, "RECIPE", TINY)
    options = ["--chunk-length", "90", "--steps", "1", "--seed", "5", "--device", "cpu"]
    assert tool.main(["--data", str(data), "--out", str(tmp_path), *options]) == 0
    run = json.loads((tmp_path / "modelset.json").read_text())["measured"]["run"]
    assert (run["steps"], run["seed"], run["device"]) == (1, 5, "CPU")
