"""One file over HTTP: continued where it broke off, tried again, never taken for whole if cut.

    part file .NAME.part       what came so far
    .NAME.part.json            the validator (ETag or date) of the content it is a part of

A part is continued only when the server says that it sends the rest of the same content (If-Range),
or when a checksum tells afterwards.
"""

import email.utils
import json
import logging
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import requests

from virnucpro.errors import InputError
from virnucpro.model_import.download_progress import MIB, Progress

BLOCK_BYTES = 1 << 16
TIMEOUTS_S = (20.0, 60.0)  # to connect, and between two blocks
MAX_REDIRECTS = 5
LONGEST_RETRY_AFTER_S = 900.0
PASSING_STATUSES = (408, 425, 429, 500, 502, 503, 504)
LOOPBACK = ("localhost", "127.0.0.1", "::1")
SPARE_BYTES = 64 * MIB  # left free on the disk

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Retry:
    """When to give up, and how long to wait before the next attempt.

    Attributes:
        attempts: in a row that bring nothing new; one that brings something starts the count again.
        sleep: seconds; injected by tests.
    """

    attempts: int = 7
    first_wait_s: float = 1.0
    longest_wait_s: float = 60.0
    sleep: Callable[[float], None] = time.sleep

    def wait_s(self, failures: int) -> float:
        """Return the pause after so many failures in a row: it doubles."""
        return min(self.first_wait_s * 2.0 ** (failures - 1), self.longest_wait_s)


class _PassingError(Exception):
    """Trouble that may be gone at the next attempt; with the pause that the server asks for."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class Transfer:
    """What is downloaded where.

    Attributes:
        part: file that it grows in.
        expected_bytes: size that a source states, or None.
        is_pinned: a checksum will be compared, so a part may be continued without a validator.
    """

    url: str
    part: Path
    expected_bytes: int | None
    is_pinned: bool

    @property
    def have(self) -> int:
        """Bytes that are here."""
        return self.part.stat().st_size if self.part.exists() else 0

    @property
    def validator_file(self) -> Path:
        """Where the validator of the part stands."""
        return self.part.with_name(f"{self.part.name}.json")

    def validator(self) -> str | None:
        """Return the validator of the part, or None; one of another address does not count."""
        try:
            note = json.loads(self.validator_file.read_text())
            return str(note["validator"]) if note["url"] == self.url and note["validator"] else None
        except (OSError, ValueError, KeyError, TypeError):
            return None  # no note, or one that a killed run cut short: the part is begun again

    def discard(self) -> None:
        """Remove the part and its validator."""
        self.part.unlink(missing_ok=True)
        self.validator_file.unlink(missing_ok=True)


def download(
    transfer: Transfer, progress: Progress, retry: Retry, session: requests.Session | None = None
) -> None:
    """Complete the part file; its content is still to be checked.

    Raises: InputError when the server refuses, offers another size, or fails too often in a row.
    """
    session = session or requests.Session()
    failures, most = 0, transfer.have
    while True:
        try:
            _attempt(transfer, progress, session)
            return
        except _PassingError as error:
            failures = 0 if transfer.have > most else failures + 1
            most = max(most, transfer.have)
            if failures >= retry.attempts:
                raise InputError(
                    f"{transfer.url}: {failures} attempts in a row brought nothing new, the last "
                    f"ended with: {error}. {transfer.have / MIB:.1f} MiB are kept: the same "
                    "command continues there."
                ) from error
            pause = max(retry.wait_s(max(failures, 1)), error.retry_after_s or 0.0)
            if pause > LONGEST_RETRY_AFTER_S:
                raise InputError(
                    f"{transfer.url}: the server asks to come back in {pause:.0f} s ({error}). "
                    "Start the same command again then."
                ) from error
            log.info("%s: %s; again in %.0f s", transfer.url, error, pause)
            retry.sleep(pause)


def check_space(folder: Path, needed: int, what: str) -> None:
    """Refuse to begin what the disk cannot hold.

    Raises: InputError with both sizes.
    """
    free = shutil.disk_usage(folder).free
    if needed + SPARE_BYTES > free:
        raise InputError(
            f"{folder}: {what} needs {needed / MIB:.0f} MiB more, {free / MIB:.0f} MiB are free. "
            "Make room, or name a folder on another disk with --cache."
        )


def _attempt(transfer: Transfer, progress: Progress, session: requests.Session) -> None:
    """Bring what is missing.

    Raises: _PassingError when another attempt may help; InputError when none will.
    """
    have, validator = transfer.have, transfer.validator()
    if have and have == transfer.expected_bytes:
        return
    if not (validator or transfer.is_pinned):
        transfer.discard()  # nothing would tell two contents in one file
        have = 0
    headers = {"Accept-Encoding": "identity"}  # a coded body has neither our size nor our ranges
    if have:
        headers["Range"] = f"bytes={have}-"
        if validator:
            headers["If-Range"] = validator
    try:
        with _open(session, transfer, headers) as response:
            _receive(transfer, response, have, progress)
    except requests.exceptions.SSLError as error:
        raise InputError(
            f"{transfer.url}: the server's certificate is not trusted ({_reason(error)}). Behind a "
            "proxy that opens connections, name its certificates in REQUESTS_CA_BUNDLE."
        ) from error
    except (requests.ConnectionError, requests.Timeout) as error:
        raise _PassingError(_reason(error)) from error
    except requests.exceptions.ChunkedEncodingError as error:
        raise _PassingError(f"the connection broke off ({_reason(error)})") from error
    except requests.RequestException as error:
        raise InputError(f"{transfer.url}: cannot be requested ({_reason(error)}).") from error
    except OSError as error:  # requests' own are OSErrors too, and are caught above
        raise InputError(
            f"{transfer.part}: cannot be written ({error.strerror}). Make room or name another "
            "folder with --cache; the same command continues."
        ) from error


def _open(
    session: requests.Session, transfer: Transfer, headers: dict[str, str]
) -> requests.Response:
    """Return the response at the end of all redirects, its body unread."""
    url = transfer.url
    for _ in range(MAX_REDIRECTS + 1):
        _check_scheme(url, transfer)
        response = session.get(
            url, headers=headers, stream=True, timeout=TIMEOUTS_S, allow_redirects=False
        )
        if not response.is_redirect:
            return response
        response.close()
        target = urljoin(url, response.headers["location"])
        if url.startswith("https:") and not target.startswith("https:"):
            raise InputError(f"{url}: leads to {target}, which is not encrypted. Report this.")
        url = target
    raise InputError(f"{transfer.url}: more than {MAX_REDIRECTS} redirects. Try again later.")


def _check_scheme(url: str, transfer: Transfer) -> None:
    """Allow https, and http to this machine or for content that a checksum vouches for."""
    parts = urlsplit(url)
    is_safe = parts.scheme == "https" or (
        parts.scheme == "http" and (parts.hostname in LOOPBACK or transfer.is_pinned)
    )
    if not is_safe:
        raise InputError(
            f"{url}: is not https, and no checksum of {transfer.part.name} is known that would "
            "tell another content. Give an https address, or its sha256, in the table of sources."
        )


def _receive(
    transfer: Transfer, response: requests.Response, have: int, progress: Progress
) -> None:
    """Append the body of a response to the part, or begin the part anew with it."""
    status = response.status_code
    if status in PASSING_STATUSES:
        raise _PassingError(f"status {status} {response.reason}", _retry_after_s(response))
    if status == 416 and have:
        _end_or_discard(transfer, response, have)
        return
    if status not in (200, 206) or (status == 206 and not have):
        raise InputError(f"{transfer.url}: the server answered {status} {response.reason}.")
    coding = response.headers.get("content-encoding", "identity")
    if coding != "identity":
        raise InputError(
            f"{transfer.url}: comes {coding}-coded although that was declined; something between "
            "here and the server changes files."
        )
    start, total = _range_of(transfer, response, have) if status == 206 else (0, None)
    if status == 200 and "content-length" in response.headers:
        total = int(response.headers["content-length"])
    _check_total(transfer, response, total)
    check_space(transfer.part.parent, (total or transfer.expected_bytes or 0) - start, transfer.url)
    progress.start(start, total or transfer.expected_bytes)
    if start == 0:
        note = json.dumps({"url": transfer.url, "validator": _validator_of(response)})
        transfer.part.unlink(missing_ok=True)  # before its new validator: never the two mixed
        transfer.validator_file.write_text(note)
    with transfer.part.open("ab") as file:
        for block in response.iter_content(BLOCK_BYTES):
            file.write(block)
            progress.advance(len(block))
    if total is not None and transfer.have != total:
        raise _PassingError(f"{transfer.have} of {total} bytes came")


def _check_total(transfer: Transfer, response: requests.Response, total: int | None) -> None:
    """Refuse a body of another size than the file's, or one whose end could not be told."""
    if total is not None and transfer.expected_bytes not in (None, total):
        raise InputError(
            f"{transfer.url}: the server offers {total} bytes, the official file has "
            f"{transfer.expected_bytes}. It is another file, or an error page."
        )
    is_chunked = response.headers.get("transfer-encoding") == "chunked"
    if total is None and not (is_chunked or transfer.is_pinned):
        raise InputError(
            f"{transfer.url}: the server does not say how long the file is, and no source states "
            "its checksum: a cut download could not be told from a whole one."
        )


def _range_of(transfer: Transfer, response: requests.Response, have: int) -> tuple[int, int | None]:
    """Return start and total of a partial response that continues the part."""
    found = re.fullmatch(
        r"bytes (\d+)-(\d+)/(\d+|\*)", response.headers.get("content-range", "").strip()
    )
    sent, kept = _validator_of(response), transfer.validator()
    if not found or int(found[1]) != have or (kept and sent and sent != kept):
        transfer.discard()
        raise _PassingError("the server sent another part than asked for, or of another file")
    return have, None if found[3] == "*" else int(found[3])


def _end_or_discard(transfer: Transfer, response: requests.Response, have: int) -> None:
    """Take "there is nothing after your part" for the end if the sizes say so."""
    found = re.fullmatch(r"bytes \*/(\d+)", response.headers.get("content-range", "").strip())
    if found and int(found[1]) == have:
        return
    transfer.discard()
    raise _PassingError("the part that was here does not fit the server's file")


def _validator_of(response: requests.Response) -> str | None:
    """Return a strong ETag, else the date of the last change, else None."""
    etag = response.headers.get("etag", "")
    return etag if etag.startswith('"') else response.headers.get("last-modified")


def _retry_after_s(response: requests.Response) -> float | None:
    """Return the pause that the server asks for: it states seconds or a date."""
    text = response.headers.get("retry-after", "").strip()
    if text.isdigit():
        return float(text)
    date = email.utils.parsedate_tz(text)
    return max(0.0, email.utils.mktime_tz(date) - time.time()) if date else None


def _reason(error: requests.RequestException) -> str:
    """Return the innermost cause in words: requests wraps it three times."""
    cause: object = error
    while isinstance(cause, BaseException) and cause.args and isinstance(cause.args[0], Exception):
        cause = getattr(cause.args[0], "reason", cause.args[0])
    return str(cause) or type(error).__name__
