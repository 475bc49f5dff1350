"""A file of any content is either refused with an InputError, or read right, and at low cost."""

import tempfile
from functools import cache
from pathlib import Path

import pytest
from formats import FORMATS
from hypothesis import given
from hypothesis import strategies as st
from limits import REFUSED, read_or_refuse
from mutations import changed_bytes, changed_json


def read(name: str, data: bytes) -> object:
    """Read bytes as a file of a format; return REFUSED or None."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(data)
        return read_or_refuse(lambda: FORMATS[name].read(path))


@cache
def examples(name: str) -> list[bytes]:
    return FORMATS[name].examples()


@pytest.mark.parametrize("name", FORMATS)
def test_the_examples_are_valid(name):
    assert [
        number for number, data in enumerate(examples(name)) if read(name, data) is REFUSED
    ] == ([3] if name == "torch_file" else [])


@pytest.mark.parametrize("name", FORMATS)
@given(data=st.binary(max_size=200))
def test_any_bytes(name, data):
    read(name, data)


@pytest.mark.parametrize("name", FORMATS)
@given(data=st.data())
def test_changed_bytes(name, data):
    read(name, data.draw(st.sampled_from(examples(name)).flatmap(changed_bytes)))


@pytest.mark.parametrize("name", [name for name, format in FORMATS.items() if format.is_json])
@given(data=st.data())
def test_changed_values(name, data):
    read(name, data.draw(st.sampled_from(examples(name)).flatmap(changed_json)))


@pytest.mark.parametrize("name", FORMATS)
def test_every_shorter_file(name):
    for example in examples(name):
        step = max(1, len(example) // 40)
        for stop in range(0, len(example), step):
            read(name, example[:stop])
