"""Files that are almost valid: bytes and values of an example changed here and there."""

import json
from typing import Any

from hypothesis import strategies as st

MAX_EDITS = 4
# What breaks parsers: ends of lines and fields, quotes, text that is not ASCII, numbers at limits
PIECES = st.sampled_from(
    [b"\n", b"\r", b"\t", b",", b'"', b">", b"@", b"\0", b"\xff", b"\xe2\x80\xa8", b"-1", b"1e999",
     b"99999999999999999999", b"NaN", b" ", b"\x1b[2J", "é".encode(), "\u0663".encode()]
)  # fmt: skip
TEXTS = st.sampled_from(
    ["", " ", "\n", "a\tb", "\x1b[2J", "\ud800", "\0", "é", "\u0663", "../x", "$HOME", "x" * 300]
) | st.text(max_size=8)
NUMBERS = st.sampled_from(
    [0, -1, 1, 2**31, 2**63, 10**30, 10**400, 0.5, -0.0, 1e308, -1e308, 5e-324, 1 - 1e-16]
) | st.floats(allow_nan=True)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(TEXTS, SCALARS, max_size=3)


@st.composite
def changed_bytes(draw: st.DrawFn, example: bytes) -> bytes:
    """Return the example with up to MAX_EDITS pieces replaced, removed, doubled or inserted."""
    data = example
    for _ in range(draw(st.integers(1, MAX_EDITS))):
        start = draw(st.integers(0, len(data)))
        stop = min(len(data), start + draw(st.sampled_from([0, 1, 1, 2, 4, 8, 40, 10**6])))
        piece = draw(PIECES | st.binary(max_size=4) | st.just(b"") | st.just(2 * data[start:stop]))
        data = data[:start] + piece + data[stop:]
    return data


@st.composite
def changed_json(draw: st.DrawFn, example: bytes) -> bytes:
    """Return the JSON with up to MAX_EDITS values replaced, removed or added."""
    holder = [json.loads(example)]
    for _ in range(draw(st.integers(1, MAX_EDITS))):
        parent, key = draw(st.sampled_from(list(_places(holder))))
        if draw(st.booleans()) and parent is not holder:
            del parent[key]
        elif draw(st.booleans()) and isinstance(parent, dict):
            parent[draw(TEXTS)] = draw(VALUES)
        else:
            parent[key] = draw(VALUES)
    return json.dumps(holder[0]).encode()


def _places(container: Any) -> Any:
    """Yield the container and key of each value."""
    keys = container.keys() if isinstance(container, dict) else range(len(container))
    for key in list(keys):
        yield container, key
        if isinstance(container[key], dict | list):
            yield from _places(container[key])
