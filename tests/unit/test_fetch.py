"""From published files to a model set: what is checked, recorded, continued and refused."""

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from file_server import Behaviour, FileServer, serving
from urllib3 import Retry

from virnucpro.cli import main as cli
from virnucpro.errors import InputError
from virnucpro.model_import import fetch as module
from virnucpro.model_import.build import BuildRequest
from virnucpro.model_import.fetch import fetch_set
from virnucpro.model_import.sources_table import OfficialSet, read_table

CONTENT = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
GIT_BLOB = hashlib.sha1(f"blob {len(CONTENT)}\0".encode() + CONTENT).hexdigest()
RETRY = Retry(total=1)
TABLE = """
[sets.official]
classifier = "mlp"
dnabert_s = ["weights", "tokenizer"]
esm2 = "esm2_t1_1M_UR50D"
esm2_width = 8
chunk_bp = 500
[files.mlp]
name = "500_model.pth"
git_blob = "{git_blob}"
url = "{url}"
source = "them"
licence = "MIT"
[files.weights]
name = "pytorch_model.bin"
folder = "DNA"
size_bytes = {size}
sha256 = "{sha256}"
url = "{url}"
source = "them"
licence = "MIT"
[files.tokenizer]
name = "tokenizer.json"
folder = "DNA"
sha256 = "{sha256}"
url = "{url}"
source = "them"
licence = "MIT"
[files.esm2_t1_1M_UR50D]
name = "esm2_t1_1M_UR50D.pt"
width = 8
url = "{url}"
source = "them"
licence = "MIT"
[files.esm2_t2_2M_UR50D]
name = "esm2_t2_2M_UR50D.pt"
width = 16
url = "{url}"
source = "them"
licence = "MIT"
"""
NAMES = ["500_model.pth", "DNA/pytorch_model.bin", "DNA/tokenizer.json", "esm2_t1_1M_UR50D.pt"]


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving(CONTENT) as server:
        yield server


@pytest.fixture
def table(server: FileServer, tmp_path: Path) -> Path:
    path = tmp_path / "sources.toml"
    path.write_text(
        TABLE.format(url=server.url, size=len(CONTENT), sha256=SHA256, git_blob=GIT_BLOB)
    )
    return path


@pytest.fixture
def official(table: Path) -> OfficialSet:
    return read_table(table).official_set("official")


@pytest.fixture(autouse=True)
def built(monkeypatch: pytest.MonkeyPatch) -> list[BuildRequest]:
    """Stand in for the builder of sets, and for pauses."""
    requests: list[BuildRequest] = []

    def build(request: BuildRequest) -> None:
        requests.append(request)
        request.folder.mkdir()
        (request.folder / "modelset.json").write_text('{"name": "x"}')

    monkeypatch.setattr("virnucpro.model_import.build.build", build)
    monkeypatch.setattr("virnucpro.model_import.download.sleep", lambda _s: None)
    return requests


def request_for(out: Path, files: Path, **options: object) -> BuildRequest:
    esm2, classifier = files / "esm2_t1_1M_UR50D.pt", files / "500_model.pth"
    return BuildRequest(out, esm2, files / "DNA", classifier, chunk_bp=500, **options)  # type: ignore[arg-type]


def fetched(out: Path) -> dict[str, dict[str, str]]:
    content = json.loads((out / "modelset.json").read_text())
    assert content["name"] == "x"
    return {entry["file"]: entry for entry in content["fetched"]}


def test_files_are_fetched_checked_and_handed_to_the_builder(
    official: OfficialSet, server: FileServer, tmp_path: Path, built: list[BuildRequest]
) -> None:
    fetch_set(official, tmp_path / "set", retry=RETRY)
    cache = tmp_path / "downloads"
    assert built == [request_for(tmp_path / "set", cache)]
    assert [(cache / name).read_bytes() for name in NAMES] == [CONTENT] * 4
    left = {p.name for p in cache.rglob("*") if p.is_file()} - {Path(name).name for name in NAMES}
    assert left == {".lock", "first_fetch.json"}
    notes = fetched(tmp_path / "set")
    assert {name: note["check"] for name, note in notes.items()} == {
        "500_model.pth": "git blob id as published",
        "pytorch_model.bin": "sha256 as published",
        "tokenizer.json": "sha256 as published",
        "esm2_t1_1M_UR50D.pt": "recorded at this first fetch, no source states a checksum",
    }
    assert {note["sha256"] for note in notes.values()} == {SHA256}
    assert notes["500_model.pth"]["url"] == server.url


def test_a_second_set_takes_what_is_there(
    official: OfficialSet, server: FileServer, tmp_path: Path
) -> None:
    fetch_set(official, tmp_path / "set", retry=RETRY)
    num_requests = len(server.requests)
    fetch_set(official, tmp_path / "other", retry=RETRY)
    assert len(server.requests) == num_requests == 4
    check = fetched(tmp_path / "other")["esm2_t1_1M_UR50D.pt"]["check"]
    assert check.startswith("as at the first fetch on 20")
    with pytest.raises(InputError, match="other: is a model set already"):
        fetch_set(official, tmp_path / "other", retry=RETRY)


def test_an_unpinned_file_that_changed_is_refused(
    official: OfficialSet, server: FileServer, tmp_path: Path
) -> None:
    cache = tmp_path / "downloads"
    fetch_set(official, tmp_path / "set", retry=RETRY)
    (cache / "esm2_t1_1M_UR50D.pt").unlink()
    server.always = Behaviour(etag='"two"', content=CONTENT[::-1])
    with pytest.raises(InputError, match=f"at the first fetch on .* it was {SHA256}"):
        fetch_set(official, tmp_path / "other", retry=RETRY)
    assert not (cache / "esm2_t1_1M_UR50D.pt").exists()
    assert not (tmp_path / "other").exists()
    carried = tmp_path / "carried"
    carry(carried, esm2_t1_1M_UR50D=CONTENT[::-1])
    with pytest.raises(InputError, match="at the first fetch on"):
        fetch_set(official, tmp_path / "other", carried=carried, retry=RETRY)


@pytest.mark.parametrize("wrong", [CONTENT[:-1], CONTENT + b"x", CONTENT[::-1], b"<html>error"])
def test_a_wrong_file_is_refused_and_not_kept(
    official: OfficialSet, server: FileServer, tmp_path: Path, wrong: bytes
) -> None:
    server.always = Behaviour(content=wrong)
    with pytest.raises(InputError, match="the official|official file has"):
        fetch_set(official, tmp_path / "set", retry=RETRY)
    assert not list((tmp_path / "downloads").rglob("*.part"))
    assert not (tmp_path / "set").exists()
    assert len(server.requests) == 1


def test_a_continued_part_that_turns_out_wrong_is_fetched_once_more(
    official: OfficialSet, server: FileServer, tmp_path: Path
) -> None:
    part = tmp_path / "downloads" / ".500_model.pth.part"
    part.parent.mkdir()
    part.write_bytes(b"x" * 1000)
    fetch_set(official, tmp_path / "set", retry=RETRY)
    assert server.ranges[:2] == ["bytes=1000-", None]


def test_a_cached_file_that_was_damaged_is_refused(official: OfficialSet, tmp_path: Path) -> None:
    fetch_set(official, tmp_path / "set", retry=RETRY)
    (tmp_path / "downloads" / "DNA" / "pytorch_model.bin").write_bytes(CONTENT[::-1])
    with pytest.raises(InputError, match="pytorch_model.bin: sha256 is .*the official"):
        fetch_set(official, tmp_path / "other", retry=RETRY)


@pytest.mark.parametrize("status", [404, 500])
def test_what_cannot_be_downloaded_is_reported_with_the_way_by_hand(
    official: OfficialSet, server: FileServer, tmp_path: Path, status: int
) -> None:
    server.always = Behaviour(status=status)
    with pytest.raises(InputError, match=str(status)) as error:
        fetch_set(official, tmp_path / "set", retry=RETRY)
    assert "By hand: download on any machine, then give --from DIR" in str(error.value)
    for name in NAMES:
        assert f"  {server.url}\n    as DIR/{name}" in str(error.value)
    assert len(server.requests) == (1 if status == 404 else 2)


def carry(folder: Path, **other: bytes) -> Path:
    (folder / "DNA").mkdir(parents=True)
    for name in NAMES:
        (folder / name).write_bytes(other.get(Path(name).stem, CONTENT))
    return folder


def test_carried_files_need_no_network(
    official: OfficialSet, server: FileServer, tmp_path: Path, built: list[BuildRequest]
) -> None:
    carried = carry(tmp_path / "carried")
    fetch_set(official, tmp_path / "set", carried=carried)
    assert built[-1] == request_for(tmp_path / "set", carried)
    for file in (carried / "DNA").iterdir():
        file.rename(carried / file.name)
    (carried / "DNA").rmdir()
    fetch_set(official, tmp_path / "flat", carried=carried)
    assert built[-1].dnabert_s == carried
    assert not server.requests
    assert "first fetch" in fetched(tmp_path / "flat")["esm2_t1_1M_UR50D.pt"]["check"]


def test_all_missing_and_all_wrong_carried_files_are_reported(
    official: OfficialSet, server: FileServer, tmp_path: Path
) -> None:
    carried = carry(tmp_path / "carried", pytorch_model=b"a", tokenizer=b"b")
    with pytest.raises(InputError) as error:
        fetch_set(official, tmp_path / "set", carried=carried)
    assert (
        f"pytorch_model.bin: size is 1 bytes, the official pytorch_model.bin has {len(CONTENT)}"
        in str(error.value)
    )
    assert "tokenizer.json: sha256 is" in str(error.value)
    (carried / "500_model.pth").unlink()
    (carried / "DNA" / "tokenizer.json").unlink()
    with pytest.raises(InputError, match="missing: .*500_model.pth, .*DNA/tokenizer.json") as error:
        fetch_set(official, tmp_path / "set", carried=carried)
    assert f"  {server.url}\n    as DIR/DNA/tokenizer.json" in str(error.value)
    assert not server.requests


def test_a_second_fetch_waits_for_the_first(
    official: OfficialSet, server: FileServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = tmp_path / "downloads"
    caplog.set_level("INFO")
    with module.exclusive(cache):
        second = threading.Thread(
            target=fetch_set, args=(official, tmp_path / "set"), kwargs={"retry": RETRY}
        )
        second.start()
        deadline = time.monotonic() + 10
        while "waiting for it" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.01)
        assert "another fetch is using this folder" in caplog.text
        assert not server.requests
    second.join(10)
    assert len(server.requests) == 4


def test_a_folder_that_cannot_be_made_and_a_full_disk_are_reported(
    official: OfficialSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: FileServer
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written .* Name a folder with --cache"):
        fetch_set(official, tmp_path / "set", cache=tmp_path / "file" / "x")
    monkeypatch.setattr("virnucpro.model_import.disk_space.SPARE_BYTES", 1 << 60)
    with pytest.raises(InputError, match="the download needs .* GB are free"):
        fetch_set(official, tmp_path / "set")
    assert not server.requests


def test_a_damaged_record_is_reported(official: OfficialSet, tmp_path: Path) -> None:
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / "first_fetch.json").write_text("{")
    with pytest.raises(InputError, match="the record of first fetches cannot be read"):
        fetch_set(official, tmp_path / "set", carried=carry(tmp_path / "carried"))


def test_the_command(
    table: Path, tmp_path: Path, built: list[BuildRequest], capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "set")
    arguments = ["models", "fetch", "official", "-o", out, "--sources", str(table)]
    more = ["--dtype", "float16", "--store", "s", "--cache", str(tmp_path / "c")]
    assert cli.main([*arguments, *more]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    options = {"dtype": "float16", "store": Path("s")}
    assert built == [request_for(tmp_path / "set", tmp_path / "c", **options)]
    assert cli.main([*arguments, "--esm2", "2M"]) == 2
    assert (
        "--esm2 2M: gives 16 numbers a frame, the classifier of official takes 8"
        in capsys.readouterr().err
    )
    (tmp_path / "empty").mkdir()
    assert (
        cli.main(
            [*arguments[:4], str(tmp_path / "n"), *arguments[5:], "--from", str(tmp_path / "empty")]
        )
        == 2
    )
    assert "missing: " in capsys.readouterr().err
