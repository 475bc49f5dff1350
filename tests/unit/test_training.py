"""Training compact sets: data, windows, network, and the set that is written."""

import gzip
import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from virnucpro.compact import write_set as writing
from virnucpro.compact.baselines import kmer_shares, linear_scores
from virnucpro.compact.ensemble import MlpEnsemble
from virnucpro.compact.frame_pool import FramePool, frames_of, window_scores
from virnucpro.compact.padded_attention import padded
from virnucpro.compact.sources import Source, read_sources
from virnucpro.compact.stored_set import call_windows, load_set
from virnucpro.compact.train import (
    Examples,
    Recipe,
    Trainer,
    corrupted,
    logits,
    rate_factor,
    taught_members,
)
from virnucpro.compact.windows import (
    MOST_OF_A_GROUP,
    Windows,
    drawing_weights,
    field_weights,
    training_windows,
    validation_windows,
)
from virnucpro.errors import InputError
from virnucpro.model_sets.description import read_model_set
from virnucpro.models import dnabert_s, esm2
from virnucpro.models.component import load_component
from virnucpro.models.tokenizers import BpeTokenizer, EsmTokenizer
from virnucpro.scoring.classifier import load_classifier
from virnucpro.scoring.composition_features import COMPOSITION_WIDTH
from virnucpro.sequences.translation import COMPLEMENT
from virnucpro.training.evaluation import call_chunks
from virnucpro.training.measures import auroc, chunk_scores
from virnucpro.training.mlp import Mlp

CPU = torch.device("cpu")
PROJECT = Path(__file__).resolve().parents[2]
TOKENIZER = PROJECT / "models/compact-500/tokenizer.json"
SOURCE_BP, WINDOW_BP = 500, 90
TINY = Recipe(
    esm2.Config(1, 16, 2),
    dnabert_s.Config(1, 16, 2, 24, 4096),
    members=3,
    hidden=8,
    windows=40,
    steps=2,
    warmup_steps=1,
    windows_per_step=8,
    steps_between_measures=1,
)
CODONS = {"viral": ("GCT", "AAA", "ATT"), "nonviral": ("GGC", "CTG", "GAC")}
RELATED = "S_train_viral_0"
NUM_SOURCES = 24


@pytest.fixture(autouse=True)
def one_thread():
    """Keep tiny products from waiting for a second, busy core."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder of labelled chunks: 24 of each kind and split; the first two touch in their source."""
    folder = tmp_path_factory.mktemp("labelled")
    chunks = folder / f"{SOURCE_BP}bp"
    chunks.mkdir()
    rng = np.random.default_rng(0)
    manifest = ["id\tclass\tsource_seq\tstart_1based\tgenome\tsplit_unit\tlicence"]
    for split in ("train", "val"):
        for kind, codons in CODONS.items():
            lines = []
            for n in range(NUM_SOURCES):
                name = f"{split}_{kind}_{n}"
                source, start = (name, 1) if n != 1 else (f"{split}_{kind}_0", 1 + SOURCE_BP)
                chunk = "".join(rng.choice(codons, SOURCE_BP // 3 + 1))[:SOURCE_BP]
                lines.append(f">{name} text\n{chunk[:60]}\n{chunk[60:]}\n")
                row = (name, f"{kind} {n % 2}", f"S_{source}", start, source, f"U_{source}", "MIT")
                manifest.append("\t".join(map(str, row)))
            (chunks / f"{split}.{kind}.fa.gz").write_bytes(gzip.compress("".join(lines).encode()))
    text = "\n".join(manifest) + "\n"
    (chunks / "manifest.tsv.gz").write_bytes(gzip.compress(text.encode()))
    related = f"val_source\ttrain_source\nS_val_viral_1\t{RELATED}\n"
    (folder / "related_train_val.tsv").write_text(related)
    return folder


@pytest.fixture(scope="module")
def sources(data):
    return read_sources([data])


def examples(windows):
    tokenizers = BpeTokenizer(TOKENIZER), EsmTokenizer(esm2.ALPHABET)
    return Examples(windows, FramePool(frames_of(windows), *tokenizers, CPU))


@pytest.fixture(scope="module")
def train(sources):
    return examples(training_windows(sources, (60, WINDOW_BP), TINY.windows, seed=1))


@pytest.fixture(scope="module")
def val(sources):
    return examples(validation_windows(sources, WINDOW_BP))


@pytest.fixture
def trainer(train, val):
    return Trainer(TINY, train, val, 3, CPU)


def pairs_won(labels, scores, weights):
    """Return AUROC by its definition."""
    won = total = 0.0
    for i in np.flatnonzero(labels == 1):
        for j in np.flatnonzero(labels == 0):
            pair = weights[i] * weights[j]
            won += pair * ((scores[i] > scores[j]) + (scores[i] == scores[j]) / 2)
            total += pair
    return won / total


@pytest.mark.parametrize("levels", [3, 1000], ids=["many ties", "few ties"])
@pytest.mark.parametrize("weighted", [False, True])
def test_auroc_is_the_share_of_pairs_in_order(levels, weighted):
    rng = np.random.default_rng(levels)
    labels = rng.integers(2, size=60)
    scores = rng.integers(levels, size=60) + labels * levels / 4
    weights = rng.random(60) if weighted else np.ones(60)
    found = auroc(labels, scores, weights if weighted else None)
    assert found == pytest.approx(pairs_won(labels, scores, weights), abs=1e-12)


@pytest.mark.parametrize("scores, expected", [([1, 2, 3], 1.0), ([3, 2, 1], 0.0), ([2, 2, 2], 0.5)])
def test_auroc_of_known_orders(scores, expected):
    assert auroc(np.array([0, 0, 1]), np.array(scores)) == expected


def test_a_chunk_scores_the_mean_of_its_extreme_frames():
    chunk = np.array([0, 1, 1, 1, 2, 2])
    frame_logits = np.array([0.5, -3.0, 1.0, 0.0, 2.0, -2.0])
    assert chunk_scores(chunk, frame_logits).tolist() == [0.5, -1.0, 0.0]


def test_chunks_that_touch_are_joined_and_related_sources_left_out(sources):
    lengths = [len(s.sequence) for s in sources if s.split == "train" and s.label == 1]
    # the two chunks of the related source are out
    assert sorted(lengths) == [SOURCE_BP] * (NUM_SOURCES - 2)
    joined = [s for s in sources if s.split == "val" and len(s.sequence) == 2 * SOURCE_BP]
    assert len(joined) == 2 and {s.label for s in joined} == {0, 1}
    assert {s.licence for s in sources} == {"MIT"}


def test_whole_sequences_are_read_but_for_those_that_stand_as_chunks(tmp_path, data):
    rows = ["id\tlabel\tclass\tgroup\tsplit\tlicence\talso_in_labelled"]
    for name, label in (("viral", 1), ("nonviral", 0)):
        entries = ""
        for n, (split, also) in enumerate([("train", "no"), ("val", "no"), ("train", "yes")]):
            rows.append(f"{name}{n}\t{label}\tphage\tG{name}{split}\t{split}\tMIT\t{also}")
            entries += f">{name}{n}\n{'ACGT' * 50}\n"
        (tmp_path / f"{name}.fa.gz").write_bytes(gzip.compress(entries.encode()))
    (tmp_path / "manifest.tsv.gz").write_bytes(gzip.compress(("\n".join(rows) + "\n").encode()))
    found = read_sources([tmp_path])
    assert [(s.label, s.split) for s in found] == [
        (1, "train"),
        (1, "val"),
        (0, "train"),
        (0, "val"),
    ]
    assert len(read_sources([data, tmp_path])) == len(read_sources([data])) + 4


@pytest.mark.parametrize("missing", ["all", "manifest", "cut"])
def test_a_folder_that_is_no_data_is_refused(tmp_path, missing):
    if missing != "all":
        (tmp_path / "500bp").mkdir()
        (tmp_path / "related_train_val.tsv").write_text("val_source\ttrain_source\n")
    if missing == "cut":
        whole = gzip.compress(b"id\tclass\n" * 99)
        (tmp_path / "500bp/manifest.tsv.gz").write_bytes(whole[:-9])
    with pytest.raises(InputError, match="Give folders of labelled chunks"):
        read_sources([tmp_path])


def source(kind, group, length, split="train", label=1):
    return Source("ACGT" * (length // 4), label, kind, group, split, "MIT")


def test_a_group_on_both_sides_is_refused(monkeypatch):
    own = [source("phage", "G", 400), source("phage", "G", 400, "val")]
    monkeypatch.setattr("virnucpro.compact.sources._whole", lambda folder: own)
    with pytest.raises(InputError, match="group G: is in train and in val"):
        read_sources([Path("any")])


def test_classes_and_groups_are_drawn_by_the_root_of_their_size():
    own = [
        source("a", "1", 1600),
        source("a", "2", 400),
        source("b", "3", 400),
        source("b", "3", 100),
    ]
    weights = drawing_weights(own)
    assert weights.sum() == pytest.approx(1)
    assert weights[:2].sum() / weights[2:].sum() == pytest.approx((2000 / 500) ** 0.5)
    assert weights[0] / weights[1] == pytest.approx(2)
    assert weights[2] / weights[3] == pytest.approx(4)  # within a group, by length


def test_training_windows_are_pieces_of_their_sources_on_either_strand(sources):
    windows = training_windows(sources, (60, WINDOW_BP), 400, seed=2)
    assert np.bincount(windows.labels).tolist() == [200, 200]
    lengths = [len(sequence) for sequence in windows.sequences]
    assert min(lengths) >= 60 and max(lengths) == WINDOW_BP and len(set(lengths)) > 20
    forward = 0
    for sequence, of, label in zip(
        windows.sequences, windows.sequence_of, windows.labels, strict=True
    ):
        whole = sources[of]
        assert whole.split == "train" and whole.label == label
        forward += sequence in whole.sequence
        assert sequence in whole.sequence or sequence.translate(COMPLEMENT)[::-1] in whole.sequence
    assert 120 < forward < 280


def test_validation_windows_cover_sequences_and_no_group_counts_too_much():
    own = [source("phage", "G", 20_000, "val"), source("phage", "H", 240, "val"),
           source("phage", "I", 40, "val")]  # fmt: skip
    windows = validation_windows(own, 100)
    assert windows.groups.count("G") == MOST_OF_A_GROUP
    # 100, 100 and 40: the rest is shorter than half a window
    assert windows.groups.count("H") == 2 and windows.groups.count("I") == 0


def test_classes_weigh_their_share_of_the_field():
    kinds = ["phage", "phage", "plant virus", "bacterium", "archaeon", "fungus"]
    labels = np.array([1, 1, 1, 0, 0, 0])
    windows = Windows(["A"] * 6, labels, kinds, ["g"] * 6, np.arange(6))
    expected = [0.35 / 2, 0.35 / 2, 0.30, 0.45 / 2, 0.45 / 2, 0.45]
    assert field_weights(windows).tolist() == pytest.approx(expected)


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


@pytest.mark.parametrize("name", ["dna", "protein"])
def test_padded_vectors_and_gradients_are_those_of_each_sequence_alone(trainer, train, name):
    """Tell whether padding is hidden, vectors come back in order, and pooling can be trained."""
    model = trainer.network.dnabert_s if name == "dna" else trainer.network.esm2
    tokens = getattr(train.pool, name)
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


def test_training_learns(train, val):
    recipe = replace(TINY, steps=40, windows_per_step=16, peak_rate=1e-2, averaging=0.5)
    trainer = Trainer(recipe, train, val, 3, CPU)
    trainer.run()
    scores = window_scores(val.pool.frames, logits(trainer.network, val.pool))
    assert auroc(val.windows.labels, scores) > 0.95  # the kinds share no codon


def test_members_take_embeddings_or_counts_never_both(trainer, train):
    network = trainer.network.eval()
    nn.init.normal_(network.head.hidden_layer.weight)  # as if training had touched them all
    counts = train.pool.counts[:8].requires_grad_()
    dna, protein, _ = train.pool.take(np.arange(8))
    members, encoders = network(dna, protein, counts)
    assert members.shape == (8, 3) and encoders.shape == (8,)
    for member, of_counts in enumerate((False, True, True)):
        gradient = torch.autograd.grad(
            members[:, member].sum(), [counts, network.esm2.embed_tokens.weight],
            retain_graph=True, allow_unused=True, materialize_grads=True,
        )  # fmt: skip
        assert [bool(g.any()) for g in gradient] == [of_counts, not of_counts]


def test_a_group_teaches_a_share_of_the_members():
    groups = [f"G{n % 50}" for n in range(200)]
    taught = taught_members(groups, members=6, share=2 / 3, seed=1)
    assert taught.shape == (200, 6) and set(taught.sum(1)) == {4}
    assert (taught[:50] == taught[50:100]).all()  # the same group, the same members
    assert (taught[:50].sum(0) > 24).all() and (taught[:50].sum(0) < 43).all()
    assert not (taught == taught_members(groups, 6, 2 / 3, 2)).all()


def test_members_learn_from_their_groups_alone(train, val):
    """Teach one half of the members nothing: their weights do not move, the others' do."""
    trainer = Trainer(
        replace(TINY, members=2, embedding_members=0, weight_decay=0), train, val, 3, CPU
    )
    trainer._taught[:, 1] = 0
    before = trainer.network.head.output_weight.detach().clone()
    trainer.run()
    moved = (trainer.network.head.output_weight != before).any(1)
    assert moved.tolist() == [True, False]


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


def test_equal_seeds_give_equal_networks(train, val):
    runs = []
    for seed in (3, 3, 4):
        trainer = Trainer(TINY, train, val, seed, CPU)
        trainer.run()
        runs.append(trainer.network.state_dict())
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[0])
    assert not torch.equal(runs[0]["esm2.layers.0.qkv.weight"], runs[2]["esm2.layers.0.qkv.weight"])


def test_a_run_that_was_cut_off_goes_on_as_if_it_had_not(tmp_path, train, val):
    recipe = replace(TINY, steps=4)
    whole = Trainer(recipe, train, val, 3, CPU)
    whole.run()
    cut = Trainer(recipe, train, val, 3, CPU, tmp_path / "checkpoint")
    steps = cut._windows_of
    cut._windows_of = lambda step: steps(step) if step < 3 else pytest.fail("cut off")
    with pytest.raises(pytest.fail.Exception):
        cut.run()
    again = Trainer(recipe, train, val, 3, CPU, tmp_path / "checkpoint")
    again.run()
    state = again.network.state_dict()
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(state[name], tensor), name


def test_a_teacher_changes_what_is_learnt(train, val):
    networks = []
    for teacher in (None, np.full(len(train.pool), 0.5, np.float32)):
        trainer = Trainer(TINY, train, val, 3, CPU, teacher=teacher)
        trainer.run()
        networks.append(trainer.network.state_dict()["head.output_weight"])
    assert not torch.equal(*networks)


def test_5_mers_are_counted_on_both_strands():
    shares = kmer_shares(["AACGTTN", "GGGGG"])
    code = {"AACGT": 0b0000011011, "ACGTT": 0b0001101111}  # each the other's reverse complement
    assert shares[0][list(code.values())].tolist() == [0.5, 0.5]
    assert shares[1][[0b1010101010, 0b0101010101]].tolist() == [0.5, 0.5]


def test_the_linear_model_finds_a_line():
    rng = np.random.default_rng(0)
    x = rng.normal(5, 3, (300, 4)).astype(np.float32)
    labels = (x[:, 1] - x[:, 2] > 0).astype(np.int64)
    assert auroc(labels[200:], linear_scores(x[:200], labels[:200], x[200:], CPU)) > 0.98


def run_of(**more):
    data = {"sequences": 2, "bp": 10, "kinds": {"phage": 10}, "licences": {"MIT": 10}}
    known = dict.fromkeys(["command", "device", "seed", "torch"], "x")
    both = {"all": 0.5, "field": 0.5}
    return known | {
        "members": 3, "embedding_members": 1, "taught_share": 2 / 3, "teacher": None, "window_shares": (0.4, 1),
        "data": {"train": data, "val": data}, "baselines": {"linear": both, "5-mers": both, "rows": 9},
    } | more  # fmt: skip


def test_a_written_set_is_loaded_and_scores_as_it_says(tmp_path, train, val):
    recipe = replace(TINY, steps=30, windows_per_step=16, peak_rate=1e-2, averaging=0.5)
    trainer = Trainer(recipe, train, val, 3, CPU)
    trainer.run()
    folder = tmp_path / "compact-90"
    validation = {WINDOW_BP: writing.Validation(val.windows, val.pool.frames)}
    refitted = Trainer(recipe, train, None, 4, CPU)
    refitted.run()
    measured = writing.write_set(
        folder, WINDOW_BP, trainer.network, refitted.network, TOKENIZER, validation, run_of()
    )
    assert [path.name for path in tmp_path.iterdir()] == ["compact-90"]
    model_set = read_model_set(folder)
    described = json.loads((folder / "modelset.json").read_text())
    assert described["name"] == "compact-90" and described["chunk_bp"] == [WINDOW_BP]
    assert described["frame_rule"] == {"rule": "longest_open", "min_residues": 20}
    assert described["measured"] == json.loads(json.dumps(measured))
    assert [(c["chunk_bp"], c["frame_rule"]) for c in described["calibration"]] == [
        (WINDOW_BP, "open"),
        (WINDOW_BP, "longest_open"),
    ]
    own = measured["by_length"][str(WINDOW_BP)]["longest_open"]
    assert f"| this set | {own['auroc_every_chunk']:.3f} |" in (folder / "README.md").read_text()

    for name in ("dnabert_s", "esm2"):
        part = model_set.component(name)
        half = load_component(part.path, part.sha256, CPU, torch.float16).state_dict()
        trained = getattr(refitted.network, name).state_dict()
        assert all(torch.equal(half[key], trained[key].half()) for key in trained)
    part = model_set.component("classifier")
    classifier = load_classifier(part.path, part.sha256)
    assert classifier.takes_composition and classifier.input_width == 32 + COMPOSITION_WIDTH

    # the numpy classifier on stored encoders is the network that was trained, but for rounding
    scores = load_set(model_set, CPU).scores(val.pool.frames)
    expected = 1 / (1 + np.exp(-logits(refitted.network, val.pool)))
    np.testing.assert_allclose(scores[:, 1], expected, atol=5e-3)
    # but its figures are of the one that has not seen what it is measured on
    unseen = 1 / (1 + np.exp(-logits(trainer.network, val.pool)))
    called = call_windows(
        val.windows, val.pool.frames, np.stack([1 - unseen, unseen], 1), "longest_open"
    )
    delta = [chunk.delta or 0.0 for chunk in call_chunks(called, None)]
    assert own["auroc_every_chunk"] == pytest.approx(
        auroc(val.windows.labels, np.array(delta)), abs=0.01
    )


def test_under_the_open_rule_partial_frames_are_not_called(val):
    frames = val.pool.frames
    closed = replace(frames, is_open=np.zeros_like(frames.is_open))
    scores = np.full((len(val.pool), 2), 0.5, np.float32)
    assert not any(chunk.scores for chunk in call_windows(val.windows, closed, scores, "open"))
    called = call_windows(val.windows, closed, scores, "longest_open")
    assert sum(bool(chunk.scores) for chunk in called) == len(np.unique(frames.window))
    assert {chunk.row.is_partial for chunk in called if chunk.scores} == {True}


@pytest.fixture
def tool(monkeypatch):
    spec = importlib.util.spec_from_file_location("tool", PROJECT / "tools/train_compact.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    monkeypatch.setattr(tool, "RECIPE", TINY)
    monkeypatch.setattr(tool, "LENGTHS_BP", ())
    return tool


def test_the_tool_reports_a_wrong_folder(tmp_path, tool, capsys):
    assert tool.main(["--data", str(tmp_path), "--out", str(tmp_path / "set")]) == 2
    assert f"{tmp_path}: cannot be read" in capsys.readouterr().err


def test_only_the_same_run_goes_on_from_a_checkpoint(sources, tool):
    given = ["--data", "D", "--out", "O/set"]
    more = [[], ["--seed", "2"], ["--chunk-length", "300"],
            ["--teacher", str(PROJECT / "models/compact-500")]]  # fmt: skip
    names = {tool._checkpoint(tool.parse_args(given + m), TINY, sources) for m in more}
    args = tool.parse_args(given)
    names |= {tool._checkpoint(args, replace(TINY, steps=3), sources)}
    names |= {tool._checkpoint(args, TINY, sources[1:])}
    names |= {tool._checkpoint(args, TINY, [replace(s, split="train") for s in sources])}
    assert len(names) == 7
    assert tool._checkpoint(args, TINY, sources) in names


def test_the_tool_trains_a_set_on_the_scores_of_a_teacher(tmp_path, data, tool):
    out = tmp_path / "set"
    options = ["--chunk-length", "90", "--steps", "20", "--seed", "5", "--device", "cpu"]
    options += ["--window-shares", "0.8", "1", "--processes", "1"]
    assert tool.main(["--data", str(data), "--out", str(out), *options]) == 0
    run = json.loads((out / "modelset.json").read_text())["measured"]["run"]
    assert (run["steps"], run["seed"], run["device"], run["teacher"]) == (20, 5, "CPU", None)
    assert run["window_shares"] == [0.8, 1]

    pupil = tmp_path / "pupil"
    options += ["--teacher", str(out)]
    assert tool.main(["--data", str(data), "--out", str(pupil), *options]) == 0
    assert json.loads((pupil / "modelset.json").read_text())["measured"]["run"]["teacher"] == "set"
    assert "scores of set as labels" in (pupil / "README.md").read_text()
