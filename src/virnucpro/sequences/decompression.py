"""The bytes of a file, plain or compressed with gzip, bzip2, xz or zstd.

Of a compressed file all parts are read, as the programs of these formats do: Python's own readers
silently ignore what follows a part that they do not know, and none looks at the end of BGZF.
"""

import bz2
import io
import lzma
import re
import stat
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from virnucpro.errors import InputError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BLOCK_BYTES = 1 << 17
MAX_WINDOW_LOG = 31  # zstd --ultra --long=31; the library's own limit is 27
BGZF_HEADER = re.compile(
    rb"\x1f\x8b\x08[\x04-\x07].{6}..BC\x02\0", re.DOTALL
)  # SAM specification, 4.1
BGZF_HEADER_BYTES = 18
# a record in plain text: cat a.fa.gz b.fa
PLAIN_RECORD = re.compile(rb"[>@][!-~][\t -~]*\r?\n[ACGTUNacgtun]")


class DamagedFile(Exception):
    """A file whose content is not what its format demands: cut short or damaged."""


class Decompressor(Protocol):
    """What decompresses one part, as bz2.BZ2Decompressor."""

    @property
    def eof(self) -> bool: ...  # noqa: D102
    @property
    def needs_input(self) -> bool: ...  # noqa: D102
    @property
    def unused_data(self) -> bytes: ...  # noqa: D102
    def decompress(self, data: bytes, max_length: int) -> bytes: ...  # noqa: D102


class ZlibDecompressor:
    """One part of gzip by the zlib of Python."""

    def __init__(self) -> None:
        """Start a part."""
        self._zlib = zlib.decompressobj(wbits=31)  # 31: gzip, with its checksum

    @property
    def eof(self) -> bool:
        """The part has ended, and all of it was returned."""
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        """Without further data there is nothing to return."""
        return not self._zlib.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        """What follows the part."""
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Return up to so many bytes."""
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)


ERRORS: list[type[Exception]] = [zlib.error, lzma.LZMAError, zstd.ZstdError, OSError]
gzip_decompressor: Callable[[], Decompressor] = ZlibDecompressor
try:
    from isal import igzip_lib
except ImportError:  # xopen requires it for x86-64 and ARM Linux only
    pass
else:
    ERRORS.append(igzip_lib.IsalError)  # type: ignore[arg-type]

    def gzip_decompressor() -> Decompressor:
        """Return one that takes a third of the time of zlib."""
        return igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)


def _zstd_decompressor() -> Decompressor:
    options = {int(zstd.DecompressionParameter.window_log_max): MAX_WINDOW_LOG}
    return zstd.ZstdDecompressor(options=options)


class Compression(NamedTuple):
    """A format of compressed files.

    Attributes:
        starts: what a part can start with.
        inside: bytes that each part has, and hardly anything else.
    """

    name: str
    starts: tuple[bytes, ...]
    inside: bytes
    decompressor: Callable[[], Decompressor]


ZSTD_START = b"\x28\xb5\x2f\xfd"
SKIPPABLE_STARTS = tuple(bytes([0x50 + i]) + b"*M\x18" for i in range(16))  # RFC 8878, 3.1.2
COMPRESSIONS = (
    Compression("gzip", (b"\x1f\x8b",), b"\x1f\x8b\x08", gzip_decompressor),
    Compression("bzip2", (b"BZh",), b"1AY&SY", bz2.BZ2Decompressor),
    Compression("xz", (b"\xfd7zXZ\0",), b"\xfd7zXZ\0", lzma.LZMADecompressor),
    Compression("zstd", (ZSTD_START, *SKIPPABLE_STARTS), ZSTD_START, _zstd_decompressor),
)


def open_decompressed(path: Path, warnings: list[str] | None = None) -> io.BufferedReader:
    """Open a file, compressed or not, for reading bytes; its name does not matter.

    Args:
        warnings: gets a line, when the end is read, for a file that may be cut, and for one with
            something else behind its compressed data.
    Raises: InputError for what is not a file that can be read. Reading raises DamagedFile.
    """
    file = open_regular(path)
    compression = compression_of(file.read(6))
    file.seek(0)
    if compression is None:
        return io.BufferedReader(file, BLOCK_BYTES)  # type: ignore[arg-type]
    parts = DecompressedParts(file, path.name, compression, [] if warnings is None else warnings)
    return io.BufferedReader(parts, BLOCK_BYTES)


def open_regular(path: Path) -> BinaryIO:
    """Open a file, unbuffered.

    Raises: InputError for a folder, for a pipe, at which a task would wait for ever, for a missing
        file and for one without permission.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise InputError(f"{path.name}: is a folder. Give the files in it.")
        if not stat.S_ISREG(mode):
            raise InputError(
                f"{path.name}: is a pipe or a device, not a file. Save what comes from it as a "
                "file, and give that."
            )
        return path.open("rb", buffering=0)
    except FileNotFoundError as error:
        raise InputError(
            f"{path.name}: No such file. It was moved or deleted, or the link to it is broken."
        ) from error
    except PermissionError as error:
        raise InputError(
            f"{path.name}: may not be read by the user who runs this. Ask its owner for permission "
            "to read the file and its folder."
        ) from error


def compression_of(head: bytes) -> Compression | None:
    """Return how a file that starts with these bytes is compressed; None: it is not."""
    return next((c for c in COMPRESSIONS if head.startswith(c.starts)), None)


def is_bgzf(head: bytes) -> bool:
    """Tell whether a gzip file with this start is one of BGZF's blocks."""
    return BGZF_HEADER.match(head) is not None


class DecompressedParts(io.RawIOBase):
    """All parts of a compressed file, one after the other."""

    def __init__(
        self, file: BinaryIO, name: str, compression: Compression, warnings: list[str]
    ) -> None:
        """Start at the beginning of `file`, which is closed with this."""
        self._file, self._name, self._compression = file, name, compression
        self._warnings = warnings
        self._part: Decompressor | None = None
        self._ahead = b""  # read from the file, but not decompressed
        self._is_bgzf = False
        self._part_bytes = 0
        self._has_output = False

    def readable(self) -> bool:
        """Return True."""
        return True

    def close(self) -> None:
        """Close the file too."""
        self._file.close()
        super().close()

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill the buffer with what follows, or a part of it; return 0 at the end."""
        while (part := self._part or self._next_part()) is not None:
            block = b""
            if part.needs_input:
                block, self._ahead = self._ahead or self._file.read(BLOCK_BYTES), b""
                if not block:
                    raise DamagedFile(f"it ends inside its {self._compression.name} data")
            try:
                data = part.decompress(block, len(buffer))
            except tuple(ERRORS) as error:
                raise DamagedFile(str(error) or type(error).__name__) from error
            self._part_bytes += len(data)
            if part.eof:
                self._part, self._ahead = None, part.unused_data
            if data:
                self._has_output = True
                buffer[: len(data)] = data
                return len(data)
        return 0

    def _next_part(self) -> Decompressor | None:
        """Start the next part; return None behind the last."""
        head = self._ahead.lstrip(b"\0")  # padding, as of tapes
        while len(head) < BGZF_HEADER_BYTES and (more := self._file.read(BLOCK_BYTES)):
            head = (head + more).lstrip(b"\0")
        lacks_end = self._is_bgzf and self._part_bytes > 0  # its last block should be empty
        if not head.startswith(self._compression.starts):
            self._ahead = b""
            if head:
                self._ignore_rest(head, lacks_end=lacks_end)
            elif lacks_end:
                self._warnings.append(
                    f"{self._name}: lacks the empty block that marks the end of a BGZF file and "
                    "may be cut: copy it again or compare its size with the original's. What is "
                    "there was read. (Some programs, such as bcl2fastq2, write no such block.)"
                )
                self._is_bgzf = False  # said once, however often the end is read
            return None
        self._ahead, self._is_bgzf, self._part_bytes = head, is_bgzf(head), 0
        self._part = self._compression.decompressor()
        return self._part

    def _ignore_rest(self, rest: bytes, *, lacks_end: bool) -> None:
        """Read what follows the last part, and warn.

        Raises: DamagedFile where it may have sequences, such as in a part behind a damaged one.
        """
        name = self._compression.name
        has_data = bool(
            lacks_end or not self._has_output or compression_of(rest) or PLAIN_RECORD.match(rest)
        )
        size, before = 0, b""
        while rest:
            size += len(rest)
            has_data = has_data or self._compression.inside in before + rest
            before, rest = rest[-8:], self._file.read(BLOCK_BYTES)
        if has_data:
            raise DamagedFile(f"{size} bytes behind a complete part are not {name} data")
        self._warnings.append(
            f"{self._name}: {size} bytes after its {name} data are not {name} data and were "
            "ignored. Copy the file again, or decompress it and compress it anew."
        )
