"""One file over HTTP, from servers that truncate, lie, break off, change the file or say no."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from file_server import Behaviour, FileServer, serving
from urllib3 import Retry

from virnucpro.errors import InputError
from virnucpro.model_import import disk_space
from virnucpro.model_import import download as module
from virnucpro.model_import.download import RETRY, Transfer, download

CONTENT = bytes(range(256)) * 2000  # 512,000 bytes
CUT = Behaviour(cut_at=200_000)


class Silent:
    """Counts what the bars would show."""

    def __init__(self) -> None:
        self.starts: list[tuple[int, int | None]] = []
        self.done = 0

    def __call__(self, label: str, total: int | None, done: int, first_line_s: float) -> "Silent":
        assert (label, first_line_s) == ("file.bin", 0)
        self.starts.append((done, total))
        self.done = done
        return self

    def __enter__(self) -> "Silent":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, num_bytes: int) -> None:
        self.done += num_bytes


class Case:
    """A server, a part file, and the pauses that were made."""

    def __init__(self, server: FileServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.server, self.part = server, folder / ".file.bin.part"
        self.pauses: list[float] = []
        monkeypatch.setattr(module, "sleep", self.pauses.append)
        self.progress = Silent()
        monkeypatch.setattr(module, "byte_progress", self.progress)
        self.expected_bytes: int | None = None
        self.is_pinned = True

    def download(self, attempts: int = 4) -> bytes:
        transfer = Transfer(self.server.url, self.part, self.expected_bytes, self.is_pinned)
        download(transfer, RETRY.new(total=attempts - 1))
        return self.part.read_bytes()


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    with serving(CONTENT) as server:
        yield Case(server, tmp_path, monkeypatch)


@pytest.mark.parametrize("is_pinned", [True, False])
def test_a_good_server_is_asked_once(case: Case, is_pinned: bool) -> None:
    case.is_pinned = is_pinned
    assert case.download() == CONTENT
    assert case.server.ranges == [None]
    assert case.server.requests[0]["accept-encoding"] == "identity"
    assert case.progress.starts == [(0, len(CONTENT))]
    assert case.progress.done == len(CONTENT)


@pytest.mark.parametrize("is_pinned", [True, False])
def test_a_broken_connection_is_continued_where_it_broke(case: Case, is_pinned: bool) -> None:
    case.is_pinned = is_pinned
    case.server.script = [CUT, Behaviour(cut_at=100_000)]
    assert case.download() == CONTENT
    kept = [int(str(text)[6:-1]) for text in case.server.ranges[1:]]
    assert 0 < kept[0] <= 200_000 < kept[1] <= 300_000
    assert case.server.requests[1]["if-range"] == '"one"'
    assert case.progress.starts[1:] == [(n, len(CONTENT)) for n in kept]


def test_a_part_of_an_earlier_command_is_continued(case: Case) -> None:
    case.server.script = [CUT, Behaviour(status=500)]
    with pytest.raises(InputError, match="1 attempts in a row added nothing"):
        case.download(attempts=1)
    kept = case.part.stat().st_size
    assert kept > 0
    assert case.download() == CONTENT
    assert case.server.ranges == [None, f"bytes={kept}-", f"bytes={kept}-"]


def test_a_server_without_ranges_begins_again(case: Case) -> None:
    case.server.script = [CUT]
    case.server.always = Behaviour(ranges=False)
    assert case.download() == CONTENT
    assert [have for have, _ in case.progress.starts] == [0, 0]


def test_a_server_that_always_cuts_and_has_no_ranges_is_given_up(case: Case) -> None:
    case.server.always = Behaviour(ranges=False, cut_at=200_000)
    with pytest.raises(InputError, match="4 attempts in a row added nothing"):
        case.download()
    assert len(case.server.requests) == 5  # the first brought something


def test_a_file_that_changes_in_between_is_taken_whole(case: Case) -> None:
    new = CONTENT[::-1]
    case.server.script = [CUT]
    case.server.always = Behaviour(etag='"two"', content=new)
    case.is_pinned = False
    assert case.download() == new


def test_a_partial_answer_of_another_file_is_noticed(case: Case) -> None:
    new = CONTENT[::-1]
    case.is_pinned = False
    case.server.script = [CUT, Behaviour(etag='"two"', content=new, if_range=False)]
    case.server.always = Behaviour(etag='"two"', content=new)
    assert case.download() == new
    assert case.server.ranges[2] is None  # what was there is of no use


def test_an_unpinned_part_without_a_validator_is_begun_again(case: Case) -> None:
    case.is_pinned = False
    case.server.always = Behaviour(etag=None)
    case.server.script = [Behaviour(etag=None, cut_at=200_000)]
    assert case.download() == CONTENT
    assert case.server.ranges == [None, None]


def test_a_complete_part_needs_only_its_end_confirmed(case: Case) -> None:
    case.part.write_bytes(CONTENT)
    assert case.download() == CONTENT
    assert case.server.ranges == [f"bytes={len(CONTENT)}-"]
    case.expected_bytes = len(CONTENT)
    assert case.download() == CONTENT
    assert len(case.server.requests) == 1  # of a known size: nothing to ask


def test_a_part_that_is_too_long_is_begun_again(case: Case) -> None:
    case.part.write_bytes(CONTENT + b"more")
    assert case.download() == CONTENT
    assert case.server.ranges == [f"bytes={len(CONTENT) + 4}-", None]


@pytest.mark.parametrize("claim", [len(CONTENT) + 1000, 2 * len(CONTENT)])
def test_a_length_that_is_too_long_never_counts_as_whole(case: Case, claim: int) -> None:
    case.server.always = Behaviour(claim=claim, ranges=False)
    with pytest.raises(InputError, match="attempts in a row added nothing"):
        case.download()


@pytest.mark.parametrize("claim", [1000, len(CONTENT) + 1])
def test_a_length_other_than_the_stated_one_is_refused_at_once(case: Case, claim: int) -> None:
    case.expected_bytes = len(CONTENT)
    case.server.always = Behaviour(claim=claim)
    with pytest.raises(InputError, match=f"offers {claim} bytes, the official file has 512000"):
        case.download()
    assert not case.pauses
    assert not case.part.exists()


def test_a_part_that_is_shorter_than_its_range_is_continued(case: Case) -> None:
    case.server.script = [CUT, Behaviour(claim=1000)]
    assert case.download() == CONTENT
    assert len(case.server.requests) == 3


def test_no_length_at_all_is_refused_where_no_checksum_would_tell(case: Case) -> None:
    case.server.always = Behaviour(claim=-1)
    assert case.download() == CONTENT
    case.part.unlink()
    case.is_pinned = False
    with pytest.raises(InputError, match="does not say how long the file is"):
        case.download()


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429, 408])
def test_passing_trouble_is_waited_for(case: Case, status: int) -> None:
    case.server.script = [Behaviour(status=status), Behaviour(status=status)]
    assert case.download() == CONTENT
    assert case.pauses == [1, 2]


def test_trouble_that_does_not_pass_is_given_up(case: Case) -> None:
    case.server.always = Behaviour(status=500)
    with pytest.raises(InputError, match="4 attempts in a row.*status 500") as error:
        case.download()
    assert "the same command continues from there" in str(error.value)
    assert case.pauses == [1, 2, 4]


@pytest.mark.parametrize("status", [404, 403, 401, 410, 204])
def test_a_refusal_is_not_tried_again(case: Case, status: int) -> None:
    case.server.always = Behaviour(status=status)
    with pytest.raises(InputError, match=f"file.bin: the server answered {status}"):
        case.download()
    assert len(case.server.requests) == 1
    assert not case.pauses


def test_the_pause_that_the_server_asks_for_is_made(case: Case) -> None:
    soon = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 100))
    case.server.script = [
        Behaviour(status=429, headers={"Retry-After": "37"}),
        Behaviour(status=503, headers={"Retry-After": soon}),
    ]
    assert case.download() == CONTENT
    assert case.pauses[0] == 37
    assert 95 < case.pauses[1] <= 100
    case.part.unlink()
    case.server.script = [Behaviour(status=429, headers={"Retry-After": "7200"})]
    with pytest.raises(InputError, match="asks to come back in 7200 s"):
        case.download()


def test_a_slow_server_is_tried_again(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUTS_S", (1.0, 0.2))
    hold = socket.create_server(("127.0.0.1", 0))  # takes connections and never answers
    silent = f"http://127.0.0.1:{hold.getsockname()[1]}/file.bin"
    transfer = Transfer(silent, case.part, None, True)
    with hold, pytest.raises(InputError, match="2 attempts in a row.*timed out"):
        download(transfer, Retry(total=1))
    assert len(case.pauses) == 1


def test_a_server_that_is_not_there_is_given_up(case: Case) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    transfer = Transfer(f"http://127.0.0.1:{port}/file.bin", case.part, None, True)
    with pytest.raises(InputError, match="2 attempts in a row.*Connection refused"):
        download(transfer, Retry(total=1))


def test_a_coded_body_is_refused(case: Case) -> None:
    case.server.always = Behaviour(headers={"Content-Encoding": "gzip"})
    with pytest.raises(InputError, match="comes gzip-coded although that was declined"):
        case.download()


def test_redirects_are_followed_to_safe_places_only(case: Case) -> None:
    case.server.script = [Behaviour(status=302, headers={"Location": "/elsewhere/file.bin"})]
    assert case.download() == CONTENT
    case.part.unlink()
    case.is_pinned = False
    case.server.script = [Behaviour(status=302, headers={"Location": "http://example.org/f"})]
    with pytest.raises(InputError, match="http://example.org/f: is not https"):
        case.download()
    case.server.script = [Behaviour(status=302, headers={"Location": "file:///etc/passwd"})]
    with pytest.raises(InputError, match="file:///etc/passwd: is not https"):
        case.download()
    case.server.always = Behaviour(status=302, headers={"Location": case.server.url})
    with pytest.raises(InputError, match="more than 5 redirects"):
        case.download()


def test_a_full_disk_is_reported_before_it_is_filled(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = disk_space.shutil.disk_usage(case.part.parent)
    small = usage._replace(free=disk_space.SPARE_BYTES + 500_000)
    monkeypatch.setattr(disk_space.shutil, "disk_usage", lambda _folder: small)
    with pytest.raises(
        InputError, match="needs 0.00 GB more, 0.07 GB are free. Free some, or name"
    ):
        case.download()
    assert not case.part.exists()


def test_a_proxy_of_the_environment_is_used(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", case.server.url.rsplit("/", 2)[0])
    transfer = Transfer("http://models.invalid/file.bin", case.part, None, True)
    download(transfer)
    assert case.part.read_bytes() == CONTENT
    assert case.server.requests[0]["host"] == "models.invalid"
