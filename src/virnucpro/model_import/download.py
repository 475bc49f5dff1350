"""One file over HTTP: resumed where it broke off, retried, never taken for complete when cut short.

    .NAME.part         what was received so far
    .NAME.part.json    the validator (ETag or date) of the content that it is a part of

A part is resumed only when the server confirms that it sends the rest of the same content
(If-Range), or when a checksum is compared afterwards.
"""

import json
import logging
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import sleep
from urllib.parse import urljoin, urlsplit

import requests
from urllib3 import Retry
from urllib3.exceptions import InvalidHeader, MaxRetryError

from virnucpro.errors import InputError
from virnucpro.model_import.disk_space import check_disk_space
from virnucpro.model_import.progress import byte_progress

BLOCK_BYTES = 1 << 16
TIMEOUTS_S = (20.0, 60.0)  # to connect, and between two blocks
MAX_REDIRECTS = 5
FIRST_PAUSE_S = 1.0  # doubled after each failure in a row
# urllib3's policy, driven by our loop: inside an HTTPAdapter it would not see a body that breaks
# off, nor that a resumed download made progress, and would wait without a word in the log.
RETRY = Retry(total=6, backoff_factor=FIRST_PAUSE_S)
LONGEST_RETRY_AFTER_S = 900.0
TRANSIENT_STATUSES = (408, 425, 429, 500, 502, 503, 504)
LOOPBACK = ("localhost", "127.0.0.1", "::1")

log = logging.getLogger(__name__)


class TransientError(Exception):
    """A failure that may be gone at the next attempt; with the pause that the server asks for."""

    def __init__(self, reason: str, retry_after_s: float = 0.0) -> None:
        """Say what failed."""
        super().__init__(reason)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class Transfer:
    """What is downloaded where.

    Attributes:
        part: file that the content is appended to.
        expected_bytes: size that a source states, or None.
        is_pinned: a checksum will be compared, so a part may be resumed without a validator.
    """

    url: str
    part: Path
    expected_bytes: int | None
    is_pinned: bool

    @property
    def part_bytes(self) -> int:
        """Return the size of the part, 0 without one."""
        return self.part.stat().st_size if self.part.exists() else 0

    @property
    def validator_file(self) -> Path:
        """Return the file with the validator of the part."""
        return self.part.with_name(f"{self.part.name}.json")

    def validator(self) -> str | None:
        """Return the validator of the part, or None; one of another address does not count."""
        try:
            note = json.loads(self.validator_file.read_text())
            return str(note["validator"]) if note["url"] == self.url and note["validator"] else None
        except (OSError, ValueError, KeyError, TypeError):
            return None  # missing, or cut short when a run was killed: the part is begun again

    def discard(self) -> None:
        """Remove the part and its validator."""
        self.part.unlink(missing_ok=True)
        self.validator_file.unlink(missing_ok=True)


def download(transfer: Transfer, retry: Retry = RETRY) -> None:
    """Complete the part file; its content is still to be checked.

    Args:
        transfer: what is downloaded where.
        retry: counts attempts in a row that add nothing to the part; one that adds something starts
            the count again.
    Raises: InputError when the server refuses, offers another size, or fails too often in a row.
    """
    remaining, most = retry, transfer.part_bytes
    with requests.Session() as session:
        while True:
            try:
                _attempt(transfer, session)
                return
            except TransientError as error:
                if transfer.part_bytes > most:
                    remaining, most = retry, transfer.part_bytes
                else:
                    remaining = _next_retry(remaining, transfer, error)
                pause_s = max(FIRST_PAUSE_S, remaining.get_backoff_time(), error.retry_after_s)
                if pause_s > LONGEST_RETRY_AFTER_S:
                    raise InputError(
                        f"{transfer.url}: the server asks to come back in {pause_s:.0f} s "
                        f"({error}). Run the same command again then."
                    ) from error
                log.info("%s: %s; retrying in %.0f s", transfer.url, error, pause_s)
                sleep(pause_s)


def _next_retry(retry: Retry, transfer: Transfer, error: TransientError) -> Retry:
    """Return the policy after another failure.

    Raises: InputError when it allows no more.
    """
    try:
        return retry.increment(error=error)
    except MaxRetryError:
        raise InputError(
            f"{transfer.url}: {len(retry.history) + 1} attempts in a row added nothing, the last "
            f"ended with: {error}. {transfer.part_bytes / 1e6:.1f} MB are kept: the same command "
            "continues from there."
        ) from error


def _attempt(transfer: Transfer, session: requests.Session) -> None:
    """Request what is missing, and append it to the part.

    Raises: TransientError when another attempt may help; InputError when none will.
    """
    start, validator = transfer.part_bytes, transfer.validator()
    if start and start == transfer.expected_bytes:
        return
    if not (validator or transfer.is_pinned):
        transfer.discard()  # a mixture of two contents would not be noticed
        start = 0
    headers = {"Accept-Encoding": "identity"}  # a coded body has neither our size nor our ranges
    if start:
        headers["Range"] = f"bytes={start}-"
        if validator:
            headers["If-Range"] = validator
    try:
        with _open_response(session, transfer, headers) as response:
            _receive(transfer, response, start)
    except requests.exceptions.SSLError as error:
        raise InputError(
            f"{transfer.url}: the server's certificate is not trusted ({_cause(error)}). Behind a "
            "proxy that opens connections, name its certificates in REQUESTS_CA_BUNDLE."
        ) from error
    except (requests.ConnectionError, requests.Timeout) as error:
        raise TransientError(_cause(error)) from error
    except requests.exceptions.ChunkedEncodingError as error:
        raise TransientError(f"the connection broke off ({_cause(error)})") from error
    except requests.RequestException as error:
        raise InputError(f"{transfer.url}: cannot be requested ({_cause(error)}).") from error
    except OSError as error:  # requests' own are OSErrors too, and are caught above
        raise InputError(
            f"{transfer.part}: cannot be written ({error.strerror}). Free some space, or name "
            "another folder with --cache; the same command continues."
        ) from error


def _open_response(
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
            raise InputError(f"{url}: redirects to {target}, which is not encrypted. Report this.")
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
            f"{url}: is not https, and there is no checksum of {transfer.part.name} to notice "
            "other content. Give an https address, or its sha256, in the table of sources."
        )


def _receive(transfer: Transfer, response: requests.Response, part_bytes: int) -> None:
    """Append the body of a response to the part, or begin the part anew with it."""
    status = response.status_code
    if status in TRANSIENT_STATUSES:
        raise TransientError(f"status {status} {response.reason}", _retry_after_s(response))
    if status == 416 and part_bytes:
        _confirm_complete(transfer, response, part_bytes)
        return
    if status not in (200, 206) or (status == 206 and not part_bytes):
        raise InputError(f"{transfer.url}: the server answered {status} {response.reason}.")
    coding = response.headers.get("content-encoding", "identity")
    if coding != "identity":
        raise InputError(
            f"{transfer.url}: comes {coding}-coded although that was declined; something between "
            "here and the server changes files."
        )
    start, total = _range_of(transfer, response, part_bytes) if status == 206 else (0, None)
    if status == 200 and "content-length" in response.headers:
        total = int(response.headers["content-length"])
    _check_total(transfer, response, total)
    size = total or transfer.expected_bytes
    check_disk_space(
        transfer.part.parent, (size or 0) - start, transfer.url, "name another disk with --cache"
    )
    if start == 0:
        note = json.dumps({"url": transfer.url, "validator": _validator_of(response)})
        transfer.part.unlink(missing_ok=True)  # before its new validator: never the two mixed
        transfer.validator_file.write_text(note)
    name = transfer.url.rpartition("/")[2]
    with (
        transfer.part.open("ab") as file,
        byte_progress(name, size, start, first_line_s=0) as progress,
    ):
        for block in response.iter_content(BLOCK_BYTES):
            file.write(block)
            progress.update(len(block))
    if total is not None and transfer.part_bytes != total:
        raise TransientError(f"only {transfer.part_bytes} of {total} bytes were received")


def _check_total(transfer: Transfer, response: requests.Response, total: int | None) -> None:
    """Refuse a body of another size than the file's, or one whose end is not marked."""
    if total is not None and transfer.expected_bytes not in (None, total):
        raise InputError(
            f"{transfer.url}: the server offers {total} bytes, the official file has "
            f"{transfer.expected_bytes}. It is another file, or an error page."
        )
    is_chunked = response.headers.get("transfer-encoding") == "chunked"
    if total is None and not (is_chunked or transfer.is_pinned):
        raise InputError(
            f"{transfer.url}: the server does not say how long the file is, and no source states "
            "its checksum: a download that was cut short would not be noticed."
        )


def _range_of(
    transfer: Transfer, response: requests.Response, part_bytes: int
) -> tuple[int, int | None]:
    """Return start and total of a partial response that continues the part."""
    content_range = re.fullmatch(
        r"bytes (\d+)-(\d+)/(\d+|\*)", response.headers.get("content-range", "").strip()
    )
    sent, kept = _validator_of(response), transfer.validator()
    is_other = bool(kept and sent and sent != kept)
    if not content_range or int(content_range[1]) != part_bytes or is_other:
        transfer.discard()
        raise TransientError("the server sent another part than requested, or of another file")
    return part_bytes, None if content_range[3] == "*" else int(content_range[3])


def _confirm_complete(transfer: Transfer, response: requests.Response, part_bytes: int) -> None:
    """Take "there is nothing after your part" for the end if the sizes agree."""
    content_range = re.fullmatch(
        r"bytes \*/(\d+)", response.headers.get("content-range", "").strip()
    )
    if content_range and int(content_range[1]) == part_bytes:
        return
    transfer.discard()
    raise TransientError("the part on this disk does not fit the server's file")


def _validator_of(response: requests.Response) -> str | None:
    """Return a strong ETag, else the date of the last change, else None."""
    etag = response.headers.get("etag", "")
    return etag if etag.startswith('"') else response.headers.get("last-modified")


def _retry_after_s(response: requests.Response) -> float:
    """Return the pause that the server asks for, in seconds or as a date; 0 for none."""
    with suppress(InvalidHeader):
        return RETRY.get_retry_after(response.raw) or 0.0
    return 0.0


def _cause(error: requests.RequestException) -> str:
    """Return the innermost cause in words: requests wraps it three times."""
    cause: object = error
    while isinstance(cause, BaseException) and cause.args and isinstance(cause.args[0], Exception):
        cause = getattr(cause.args[0], "reason", cause.args[0])
    return str(cause) or type(error).__name__
