"""A local HTTP server for one file, which misbehaves as a test tells it to."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


@dataclass
class Behaviour:
    """How one request is answered; a plain one is that of a good server.

    Attributes:
        status: answered without the file, when it is not 0.
        cut_at: the connection breaks after so many bytes of the body.
        claim: Content-Length instead of the true one; -1: none at all, and the connection closes.
        ranges: whether Range is looked at; if_range: whether If-Range is.
        etag: of the file at this request.
    """

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    cut_at: int | None = None
    claim: int | None = None
    ranges: bool = True
    if_range: bool = True
    etag: str | None = '"one"'
    content: bytes | None = None


@dataclass
class FileServer:
    """What is served, how the next requests are answered, and what was asked."""

    content: bytes
    url: str = ""
    script: list[Behaviour] = field(default_factory=list)
    always: Behaviour = field(default_factory=Behaviour)
    requests: list[dict[str, str]] = field(default_factory=list)

    def next(self) -> Behaviour:
        """Return how to answer: by the script, then as always."""
        return self.script.pop(0) if self.script else self.always

    @property
    def ranges(self) -> list[str | None]:
        """Range header of each request."""
        return [request.get("range") for request in self.requests]


@contextmanager
def serving(content: bytes) -> Iterator[FileServer]:
    """Serve until the block ends."""
    server = FileServer(content)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            server.requests.append({name.lower(): value for name, value in self.headers.items()})
            answer(self, server, server.next())

        def log_message(self, *_args: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, _request: object, _address: object) -> None:
            """Say nothing: the client breaks off, too."""

    httpd = Quiet(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    server.url = f"http://127.0.0.1:{httpd.server_port}/models/file.bin"
    try:
        yield server
    finally:
        httpd.shutdown()
        httpd.server_close()


def answer(handler: BaseHTTPRequestHandler, server: FileServer, how: Behaviour) -> None:
    """Send one response."""
    if how.status:
        handler.send_response(how.status)
        for name, value in {"Content-Length": "0", **how.headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        return
    content = server.content if how.content is None else how.content
    asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    fits = not how.if_range or handler.headers.get("If-Range", how.etag) == how.etag
    start = int(asked[1]) if asked and how.ranges and fits else 0
    if start >= len(content) > 0:
        handler.send_response(416)
        handler.send_header("Content-Range", f"bytes */{len(content)}")
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return
    body = content[start:]
    handler.send_response(206 if start else 200)
    if start:
        handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
    if how.etag:
        handler.send_header("ETag", how.etag)
    if how.claim != -1:
        handler.send_header("Content-Length", str(how.claim or len(body)))
    for name, value in how.headers.items():
        handler.send_header(name, value)
    if how.cut_at is not None or how.claim is not None:
        handler.send_header("Connection", "close")
        handler.close_connection = True
    handler.end_headers()
    handler.wfile.write(body if how.cut_at is None else body[: how.cut_at])
