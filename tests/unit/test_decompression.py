"""Compressed files with odd ends, and what is not a file."""

import bz2
import gzip
import io
import lzma
import os
import random
import sys
from pathlib import Path

import pytest
from Bio.bgzf import BgzfWriter

from virnucpro.errors import InputError
from virnucpro.sequences import decompression
from virnucpro.sequences.decompression import DamagedFile, ZlibDecompressor, open_decompressed

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

TEXT = b"".join(
    b">r%d\n%s\n" % (i, bytes(random.Random(i).choices(b"ACGT", k=300))) for i in range(1500)
)
COMPRESS = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress, "zstd": zstd.compress}  # fmt: skip
EOF_BLOCK_BYTES = 28
SKIPPABLE = b"\x5a*M\x18\4\0\0\0abcd"


def bgzf(data: bytes) -> bytes:
    stream = io.BytesIO()
    writer = BgzfWriter(fileobj=stream)
    writer.write(data)
    writer.flush()
    stream.write(b"" if stream.getvalue()[-EOF_BLOCK_BYTES:] == EOF_BLOCK else EOF_BLOCK)
    return stream.getvalue()


EOF_BLOCK = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


@pytest.fixture
def read(tmp_path):
    """Return the content and the warnings."""

    def read_bytes(data: bytes) -> tuple[bytes, list[str]]:
        path = tmp_path / "x.dat"
        path.write_bytes(data)
        warnings: list[str] = []
        with open_decompressed(path, warnings) as stream:
            content = stream.read()
            assert stream.read() == b""  # the end is found again, and nothing is said twice
        return content, warnings

    return read_bytes


@pytest.fixture(params=["isal", "zlib"])
def gzip_library(request, monkeypatch):
    """Read gzip with either library."""
    if request.param == "zlib":
        first, *others = decompression.COMPRESSIONS
        changed = (first._replace(decompressor=ZlibDecompressor), *others)
        monkeypatch.setattr(decompression, "COMPRESSIONS", changed)
    else:
        pytest.importorskip("isal")


WHOLE = bgzf(TEXT)
CUT = WHOLE[:-EOF_BLOCK_BYTES]


@pytest.mark.usefixtures("gzip_library")
@pytest.mark.parametrize(
    "data, times, warns",
    [
        (WHOLE, 1, False),
        (WHOLE + WHOLE, 2, False),
        (WHOLE + bgzf(b""), 1, False),
        (bgzf(b""), 0, False),
        (gzip.compress(TEXT), 1, False),
        (gzip.compress(TEXT) * 2, 2, False),
        (CUT + gzip.compress(TEXT), 2, False),
        (WHOLE + b"\0" * 1000, 1, False),
        (CUT, 1, True),
        (CUT + CUT, 2, True),
        (WHOLE + CUT, 2, True),
        (gzip.compress(TEXT) + CUT, 2, True),
        (CUT + b"\0" * 9, 1, True),
    ],
)
def test_bgzf_without_its_end_is_read_with_a_warning(read, data, times, warns):
    content, warnings = read(data)
    assert content == TEXT * times
    assert len(warnings) == warns
    if warns:
        assert warnings[0].startswith("x.dat: lacks the empty block that marks the end")
        assert "may be cut: copy it again or compare its size" in warnings[0]


@pytest.mark.usefixtures("gzip_library")
def test_a_block_of_no_kind_that_gzip_has_is_refused(read):
    with pytest.raises(DamagedFile):
        read(gzip.compress(b"")[:10] + b"\x07")


@pytest.mark.usefixtures("gzip_library")
@pytest.mark.parametrize("cut", [1, 10, EOF_BLOCK_BYTES + 1, len(WHOLE) // 2, len(WHOLE) - 9])
def test_bgzf_cut_inside_a_block_is_refused(read, cut):
    with pytest.raises(DamagedFile, match="it ends inside its gzip data"):
        read(WHOLE[:-cut])


@pytest.mark.usefixtures("gzip_library")
@pytest.mark.parametrize("part", [-1, -6, len(WHOLE) // 2])
def test_a_checksum_or_a_byte_that_differs_is_refused(read, part):
    data = bytearray(gzip.compress(TEXT))
    data[part] ^= 1
    with pytest.raises(DamagedFile):
        read(bytes(data))


@pytest.mark.usefixtures("gzip_library")
@pytest.mark.parametrize("kind", COMPRESS)
def test_parts_and_padding_are_read_silently(read, kind):
    part = COMPRESS[kind](TEXT)
    empty = COMPRESS[kind](b"")
    for data in (part, part + b"\0" * 512, part + b"\0" * 4, empty + part + empty, empty):
        assert read(data) == (TEXT if part in data else b"", [])
    assert read(part + part + b"\0" * 8 + part) == (TEXT * 3, [])


def test_skippable_frames_of_zstd_are_skipped(read):
    part = zstd.compress(TEXT)
    for data in (SKIPPABLE + part, part + SKIPPABLE, SKIPPABLE * 2 + part + SKIPPABLE):
        assert read(data) == (TEXT, [])
    assert read(SKIPPABLE) == (b"", [])


def test_a_large_window_of_zstd_is_read(read):
    options = {zstd.CompressionParameter.window_log: 28}
    compressor = zstd.ZstdCompressor(options=options)
    assert read(compressor.compress(TEXT) + compressor.flush()) == (TEXT, [])


@pytest.mark.usefixtures("gzip_library")
@pytest.mark.parametrize("garbage", [b"x", b"garbage\n", b"\0\0\0x", b"\x1f", b"ab" * 100_000])
@pytest.mark.parametrize("kind", COMPRESS)
def test_what_precedes_garbage_is_read_with_a_warning(read, kind, garbage):
    content, (warning,) = read(COMPRESS[kind](TEXT) + garbage)
    assert content == TEXT
    size = len(garbage.lstrip(b"\0"))
    assert warning.startswith(f"x.dat: {size} bytes after its {kind} data are not {kind} data")
    assert "Copy the file again, or" in warning


@pytest.mark.parametrize("kind", COMPRESS)
def test_sequences_behind_the_compressed_data_are_never_ignored(read, kind):
    part = COMPRESS[kind](TEXT)
    damaged = b"?" + part[1:]
    other = COMPRESS["bzip2" if kind != "bzip2" else "xz"](TEXT)
    for rest in (b">a\nACGT\n", b"@a b\r\nACGT\n+\nIIII\n", damaged + part, other):
        with pytest.raises(DamagedFile, match=f"bytes behind a complete part are not {kind} data"):
            read(part + rest)


def test_garbage_behind_a_bgzf_block_that_is_not_the_last_is_refused(read):
    assert read(WHOLE + b"garbage")[0] == TEXT
    with pytest.raises(DamagedFile, match="are not gzip data"):
        read(CUT + b"garbage")


def test_lz4_behind_a_skippable_frame_is_not_an_empty_file(read):
    with pytest.raises(DamagedFile, match="are not zstd data"):
        read(SKIPPABLE + b"\4\x22M\x18d@" + b"x" * 50)


def test_what_is_not_a_file_is_named_and_never_waited_for(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    for path, words in [
        (tmp_path, "is a folder. Give the files in it."),
        (tmp_path / "pipe", "is a pipe or a device, not a file. Save what"),
        (Path("/dev/null"), "is a pipe or a device, not a file."),
        (tmp_path / "link", "No such file. It was moved or deleted, or the link"),
    ]:
        with pytest.raises(InputError, match=f"^{path.name}: {words}"):
            open_decompressed(path)
    (tmp_path / "a.fa").write_text(">a\nACGT\n")

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")  # root may read all files

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match="a.fa: may not be read by the user .* Ask its owner"):
        open_decompressed(tmp_path / "a.fa")


def test_the_two_gzip_libraries_are_not_the_same():
    pytest.importorskip("isal")
    assert decompression.gzip_decompressor is not ZlibDecompressor
