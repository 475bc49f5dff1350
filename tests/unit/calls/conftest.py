"""A sample with a sequence of each fate, and a folder for its tables."""

import pytest
from samples import RECORDS, make_sample


@pytest.fixture
def files(tmp_path):
    return make_sample(tmp_path / "work", RECORDS)


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "s"
    folder.mkdir()
    return folder
