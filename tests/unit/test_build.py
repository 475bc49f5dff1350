"""`models build`: the set, the store, and what is refused."""

import hashlib
import json
import logging
import shutil

import published
import pytest
import torch
from test_dnabert_s import published_weights

from virnucpro.cli import main as cli
from virnucpro.errors import InputError
from virnucpro.model_import import known_files
from virnucpro.model_import.build import BuildRequest, build
from virnucpro.model_import.sources_table import OfficialSet, SourceFile, SourcesTable
from virnucpro.model_import.store import put
from virnucpro.model_sets.description import read_model_set
from virnucpro.models import component

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def classifiers(tmp_path_factory):
    return published.save_classifiers(tmp_path_factory.mktemp("classifiers"), 96 + 32)


@pytest.fixture(scope="module")
def sources(tmp_path_factory, classifiers):
    """Return (folder, arguments) of a small set's sources."""
    folder = tmp_path_factory.mktemp("sources")
    published.save_fair(published.fair_esm2(2, 32, 2), folder / "esm2.pt")
    published.save_dnabert_s(folder / "DNABERT-S", published_weights(published.DNABERT_S))
    shutil.copy(classifiers / "module.pth", folder / "500_model.pth")
    return folder


def request(sources, tmp_path, **changes):
    given = {
        "folder": tmp_path / "sets/small",
        "store": tmp_path / "sets/components",
        "esm2": sources / "esm2.pt",
        "dnabert_s": sources / "DNABERT-S",
        "classifier": sources / "500_model.pth",
        "chunk_bp": 500,
        "dtype": "auto",
        "force": False,
    }
    return BuildRequest(**(given | changes))


def argv(sources, folder, *more):
    given = ["--esm2", sources / "esm2.pt", "--dnabert-s", sources / "DNABERT-S"]
    given += ["--classifier", sources / "500_model.pth", "-o", folder, *more]
    return ["models", "build", *map(str, given)]


@pytest.fixture
def built(sources, tmp_path):
    build(request(sources, tmp_path))
    return tmp_path / "sets/small"


def files_of(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_set_names_its_components_and_their_sources(sources, built):
    text = (built / "modelset.json").read_text()
    description = json.loads(text)
    assert description["name"] == "small" and description["chunk_bp"] == [500]
    assert (description["format"], description["frame_rule"]) == (1, "open")
    components = description["components"]
    assert components["dnabert_s"]["width"] + components["esm2"]["width"] == 128
    assert components["classifier"]["input_width"] == 128
    for entry in components.values():
        path = (built / entry["file"]).resolve()
        assert path.parent == built.parent / "components" and path.stem == entry["sha256"]
        assert hashlib.sha256(path.read_bytes()).hexdigest() == entry["sha256"]
        assert entry["source"]["known_as"] == "unknown"
    source = components["esm2"]["source"]["files"][0]
    assert source["name"] == "esm2.pt" and str(sources) not in text
    assert source["sha256"] == hashlib.sha256((sources / "esm2.pt").read_bytes()).hexdigest()
    assert sorted(p.name for p in built.iterdir()) == ["modelset.json"]
    assert read_model_set(built).name == "small"


def test_equal_sources_give_equal_bytes_and_components_are_kept_once(
    sources, tmp_path, built, caplog
):
    before = files_of(tmp_path)
    with caplog.at_level(logging.INFO):
        build(request(sources, tmp_path, folder=tmp_path / "sets/other"))
    assert caplog.text.count("is in the store already") == 4
    after = files_of(tmp_path)
    new = after.pop("sets/other/modelset.json")
    assert after == before
    assert new == before["sets/small/modelset.json"].replace(b'"small"', b'"other"')


def test_a_component_is_what_write_component_of_the_models_gives(sources, tmp_path, built):
    entry = read_model_set(built).component("esm2")
    model = component.load_component(entry.path, entry.sha256, CPU)
    component.write_component(tmp_path / "again.safetensors", model)
    assert (tmp_path / "again.safetensors").read_bytes() == entry.path.read_bytes()


def test_a_damaged_component_of_the_store_is_replaced(sources, tmp_path, built, caplog):
    entry = read_model_set(built).component("esm2")
    good = entry.path.read_bytes()
    entry.path.write_bytes(good[:-1] + b"?")
    build(request(sources, tmp_path, folder=tmp_path / "sets/other"))
    assert entry.path.read_bytes() == good and "was damaged: it is replaced" in caplog.text


def test_a_store_elsewhere_is_named_by_its_path(sources, tmp_path, built, monkeypatch):
    store = tmp_path / "a/b/store"
    build(request(sources, tmp_path, store=store, folder=tmp_path / "sets/other"))
    assert read_model_set(tmp_path / "sets/other").component("esm2").path.resolve().parent == store
    monkeypatch.setattr("os.path.commonpath", lambda paths: "/")  # another root
    build(request(sources, tmp_path, store=store, folder=tmp_path / "sets/third"))
    entry = json.loads((tmp_path / "sets/third/modelset.json").read_text())["components"]["esm2"]
    assert entry["file"].startswith(f"{store}/")


def test_half_precision_is_half_the_size_and_the_classifier_stays(sources, tmp_path, built):
    build(request(sources, tmp_path, dtype="float16", folder=tmp_path / "sets/half"))
    whole, half = read_model_set(built), read_model_set(tmp_path / "sets/half")
    for role, dtype in (("esm2", "float16"), ("dnabert_s", "float16"), ("classifier", "float32")):
        assert half.component(role).entry["dtype"] == dtype
    sizes = [s.component("dnabert_s").path.stat().st_size for s in (whole, half)]
    assert 1.9 < sizes[0] / sizes[1] < 2.1
    assert whole.component("classifier").sha256 == half.component("classifier").sha256


@pytest.mark.parametrize(
    "value, dtype, words",
    [
        (float("nan"), "auto", "emb_layer_norm_after.bias has 1 values that are infinite or NaN"),
        (70000.0, "float16", "emb_layer_norm_after.bias has 1 values above 65504, .*--dtype float32"),
    ],
)  # fmt: skip
def test_numbers_that_cannot_be_stored_are_refused_and_nothing_is_left(
    sources, tmp_path, value, dtype, words
):
    model = published.fair_esm2(2, 32, 2)
    model.emb_layer_norm_after.bias.data[3] = value
    bad = published.save_fair(model, tmp_path / "bad.pt")
    with pytest.raises(InputError, match=f"bad.pt: {words}"):
        build(request(sources, tmp_path, esm2=bad, dtype=dtype))
    assert not (tmp_path / "sets/small").exists()
    assert [p.suffix for p in (tmp_path / "sets/components").iterdir()] == [".safetensors"]


def test_every_fault_is_reported_at_once_and_nothing_is_written(sources, tmp_path, capsys):
    evil = tmp_path / "evil.pth"
    evil.write_bytes(b"\x80\x02cposix\nsystem\nX\x05\0\0\0touch\x85R.")
    options = ["--esm2", str(tmp_path / "no.pt"), "--classifier", str(evil)]
    (tmp_path / "D").mkdir()
    status = cli.main(
        [*argv(sources, tmp_path / "set"), *options, "--dnabert-s", str(tmp_path / "D")]
    )
    message = capsys.readouterr().err
    assert status == 2
    assert f"{tmp_path}/no.pt: there is no such file" in message
    assert f"{evil}: refused, it contains the global posix.system" in message
    assert f"{tmp_path}/D: has no weights" in message
    assert f"{tmp_path}/D/tokenizer.json: is missing" in message
    assert sorted(p.name for p in tmp_path.iterdir()) == ["D", "evil.pth"]


def test_widths_that_do_not_fit_are_refused_with_the_numbers(sources, tmp_path):
    wide = published.save_fair(published.fair_esm2(1, 64, 2), tmp_path / "wide.pt")
    with pytest.raises(InputError, match="gives 96 .* 64, together 160; .*500_model.pth takes 128"):
        build(request(sources, tmp_path, esm2=wide))


def test_a_tokenizer_of_another_vocabulary_is_refused(sources, tmp_path):
    folder = shutil.copytree(sources / "DNABERT-S", tmp_path / "D")
    text = (folder / "tokenizer.json").read_text()
    content = json.loads(text)
    del content["model"]["vocab"][max(content["model"]["vocab"], key=content["model"]["vocab"].get)]
    content["model"]["merges"] = content["model"]["merges"][:-1]
    (folder / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="has 4095 tokens, DNABERT-S has vectors for 4096"):
        build(request(sources, tmp_path, dnabert_s=folder))


@pytest.mark.parametrize(
    "known_bp, given_bp, expected",
    [
        (None, None, "500_model.pth: is an unknown classifier. Give --chunk-length"),
        (500, 300, "--chunk-length 300: .*500_model.pth was trained on chunks of 500"),
        (None, 300, 300),
        (500, None, 500),
        (500, 500, 500),
    ],
)
def test_the_chunk_length_is_the_classifiers(
    sources, tmp_path, monkeypatch, known_bp, given_bp, expected
):
    if known_bp:
        data = (sources / "500_model.pth").read_bytes()
        blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        known = SourceFile("500_model.pth", "https://x", "original", "MIT", git_blob=blob)
        official = OfficialSet("x", known, (), known, 2560, known_bp)
        table = SourcesTable({"known": known}, {"x": official})
        monkeypatch.setattr(known_files, "read_table", lambda: table)
    if isinstance(expected, str):
        with pytest.raises(InputError, match=expected):
            build(request(sources, tmp_path, chunk_bp=given_bp))
        return
    build(request(sources, tmp_path, chunk_bp=given_bp))
    model_set = read_model_set(tmp_path / "sets/small")
    assert model_set.description["chunk_bp"] == [expected]
    name = "original 500_model.pth" if known_bp else "unknown"
    assert model_set.component("classifier").entry["source"]["known_as"] == name


@pytest.mark.parametrize(
    "digest, known_as, chunk_bp",
    [
        ("a0b5b85e7c1e44f00cde146d091beb82b2c8e855", "Li-Jing-1997/VirNucPro 300_model.pth", 300),
        ("fc35d5ef9f1f4564eea7036f34f4f8ec6000d33d", "Li-Jing-1997/VirNucPro 500_model.pth", 500),
        ("f3cfc3d0541859df64759e758cc4bc40fe1d5760799a7d098a9f9f09501c1e5f",
         "zhihan1996/DNABERT-S pytorch_model.bin", None),
        ("", "unknown", None),  # git's blob id of a file that is too large for one
    ],
)  # fmt: skip
def test_the_known_files_are_those_that_the_sources_state(
    tmp_path, monkeypatch, digest, known_as, chunk_bp
):
    sha256, git_blob = (digest, "") if len(digest) == 64 else ("0" * 64, digest)
    monkeypatch.setattr(known_files, "digests", lambda path: (sha256, git_blob, 9))
    identity = known_files.identify(tmp_path)
    assert (identity.known_as, identity.chunk_bp, identity.num_bytes) == (known_as, chunk_bp, 9)


def test_an_existing_set_is_replaced_only_by_force(sources, tmp_path, built, capsys):
    before = (built / "modelset.json").read_bytes()
    (built / "notes.txt").write_text("mine")
    assert cli.main(argv(sources, built, "--chunk-length", "300")) == 2
    assert "is a model set already. Choose another -o, or --force" in capsys.readouterr().err
    assert (built / "modelset.json").read_bytes() == before
    assert cli.main(argv(sources, built, "--chunk-length", "300", "--force")) == 0
    assert capsys.readouterr().out == f"{built}/modelset.json\n"
    assert read_model_set(built).description["chunk_bp"] == [300]
    assert (built / "notes.txt").read_text() == "mine"
    other = tmp_path / "other"
    other.mkdir()
    (other / "notes.txt").touch()
    with pytest.raises(InputError, match="exists and is not a model set"):
        build(request(sources, tmp_path, folder=other, force=True))


def test_too_little_space_is_reported_before_anything_is_written(sources, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 0))
    with pytest.raises(
        InputError,
        match="the set needs 0.00 GB more, 0.00 GB are free. Free some, or choose another --store",
    ):
        build(request(sources, tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_the_store_of_the_command_lies_beside_the_set_unless_named(sources, tmp_path):
    assert cli.main(argv(sources, tmp_path / "one", "--chunk-length", "500")) == 0
    assert len(list((tmp_path / "components").iterdir())) == 4
    more = ["--chunk-length", "500", "--store", str(tmp_path / "S"), "--dtype", "float16"]
    assert cli.main(argv(sources, tmp_path / "two", *more)) == 0
    assert len(list((tmp_path / "S").iterdir())) == 4
    assert read_model_set(tmp_path / "two").component("esm2").entry["dtype"] == "float16"


def test_the_allow_list_is_printed(capsys):
    with pytest.raises(SystemExit):
        cli.main(["models", "build", "--show-allowed"])
    lines = capsys.readouterr().out.splitlines()
    assert "  __main__.MLPClassifier" in lines and "  torch._utils._rebuild_tensor_v2" in lines


@pytest.mark.parametrize("text", ["29", "x", "-500", "500.0"])
def test_a_chunk_length_that_is_not_an_integer_from_30_is_refused(sources, tmp_path, text, capsys):
    with pytest.raises(SystemExit):
        cli.main(argv(sources, tmp_path / "x", "--chunk-length", text))
    assert "must be an integer >= 30" in capsys.readouterr().err


def test_what_does_not_read_back_is_not_kept(tmp_path):
    def write(path):
        path.write_text("damaged on its way")
        return "0" * 64

    with pytest.raises(InputError, match="but 0000.* was written. The disk or memory is faulty"):
        put(tmp_path / "store", ".json", write)
    assert list((tmp_path / "store").iterdir()) == []
