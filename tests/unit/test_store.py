import subprocess
import sys
import time
from dataclasses import replace

import h5py
import numpy as np
import pytest
from embeddings_file import write_embeddings

from virnucpro.embeddings.store import Provenance, read_embeddings
from virnucpro.errors import InputError

PROVENANCE = Provenance("esm2", "ab" * 32, "", "cd" * 32, {"torch": "2.11", "engine": 1}, 12, 0)
IDS = ["a_chunk_1F1", "é_chunk_2R3"]
DATA = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "s.esm2.h5"
    write_embeddings(path, IDS, DATA, PROVENANCE)
    return path


def test_what_is_written_is_read(path):
    ids, embeddings, provenance = read_embeddings(path)
    assert ids == IDS
    assert embeddings.tobytes() == DATA.tobytes() and embeddings.dtype == np.float32
    assert provenance == PROVENANCE
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_ids_are_fixed_width_bytes(path):
    with h5py.File(path) as file:
        assert file["ids"].dtype == "S12"  # é has two bytes


def test_hdf5_itself_notices_damaged_metadata(path):
    data = path.read_bytes()
    assert data[8] == 3  # version of the superblock, the first with checksums
    with h5py.File(path) as file:
        kinds = {name: file.attrs.get_id(name).dtype.kind for name in file.attrs}
    assert set(kinds.values()) == {"S", "i"}  # texts of variable length would be "O"


def test_equal_content_gives_equal_bytes(path, tmp_path):
    time.sleep(1.1)  # HDF5 times are in seconds
    other = tmp_path / "other.h5"
    numerics = dict(reversed(PROVENANCE.numerics.items()))
    write_embeddings(other, IDS, DATA, replace(PROVENANCE, numerics=numerics))
    assert other.read_bytes() == path.read_bytes()


def test_no_frames(tmp_path):
    path = tmp_path / "empty.h5"
    write_embeddings(path, [], np.empty((0, 3), np.float32), PROVENANCE)
    ids, embeddings, _ = read_embeddings(path)
    assert ids == [] and embeddings.shape == (0, 3)


def test_a_truncated_file_is_reported(path):
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"s\.esm2\.h5: cannot be read as HDF5"):
        read_embeddings(path)


def test_a_missing_file_is_reported(tmp_path):
    with pytest.raises(InputError, match="cannot be read as HDF5"):
        read_embeddings(tmp_path / "none.h5")


def _drop_attribute(file):
    del file.attrs["component_sha256"]


def _drop_dataset(file):
    del file["ids"]


def _fewer_ids(file):
    del file["ids"]
    file["ids"] = np.array([b"a"])


def _same_ids(file):
    file["ids"][...] = np.array([b"a", b"a"])


def _not_finite(file):
    file["embeddings"][0, 0] = np.nan


def _other_type(file):
    del file["embeddings"]
    file["embeddings"] = DATA.astype(np.float64)


@pytest.mark.parametrize(
    "damage, message",
    [
        (_drop_attribute, "not a file of embeddings.*component_sha256"),
        (_drop_dataset, "not a file of embeddings.*ids"),
        (_fewer_ids, "1 ids but 2 vectors"),
        (_same_ids, "an id occurs twice"),
        (_not_finite, "not finite"),
        (_other_type, "embeddings are float64"),
    ],
)
def test_parts_that_do_not_fit_are_reported(path, damage, message):
    with h5py.File(path, "r+") as file:
        damage(file)
    with pytest.raises(InputError, match=message):
        read_embeddings(path)


@pytest.mark.parametrize("module", ["embeddings.store", "sequences.frames_file"])
def test_torch_is_not_imported(module):
    code = f"import sys, virnucpro.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
