"""What all unit tests share."""

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def log_levels_come_back() -> Iterator[None]:
    """A command run in process may quieten a logger; the next test reads its messages."""
    names = [name for name in logging.root.manager.loggerDict if name.startswith("virnucpro")]
    names += ["virnucpro", "virnucpro.engine"]
    before = {name: logging.getLogger(name).level for name in names}
    yield
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)
