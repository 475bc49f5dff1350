import subprocess
import sys
import time
from dataclasses import replace

import h5py
import numpy as np
import pytest
from embeddings_file import write_embeddings

from virnucpro import files
from virnucpro.embeddings.store import Provenance, read_embeddings, read_no_vector, seal
from virnucpro.errors import DamagedFileError, InputError

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
    with pytest.raises(InputError, match=r"s\.esm2\.h5: is not what its task wrote"):
        read_embeddings(path)


def test_rows_without_a_vector_are_named_with_their_reason(path):
    content = path.read_bytes()
    provenance = read_embeddings(path)[2]
    assert read_no_vector(path).tolist() == [0, 0]
    write_embeddings(path, IDS, DATA, provenance, np.zeros(2, np.uint8))
    assert path.read_bytes() == content  # only where there is one
    data = DATA.copy()
    data[1] = np.nan
    write_embeddings(path, IDS, data, provenance, np.array([0, 2], np.uint8))
    assert np.isnan(read_embeddings(path)[1]).all(axis=1).tolist() == [False, True]
    assert read_no_vector(path).tolist() == [0, 2]


def test_a_missing_file_is_reported(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
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


def _other_row_not_finite(file):
    file["embeddings"][0, 0] = np.nan
    file["no_vector"] = np.array([0, 1], np.uint8)


def _unknown_reason(file):
    file["no_vector"] = np.array([0, 3], np.uint8)


def _fewer_reasons(file):
    file["no_vector"] = np.array([1], np.uint8)


def _reasons_of_another_type(file):
    file["no_vector"] = np.array([0.0, 1.0])


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
        (_other_row_not_finite, "not finite"),
        (_unknown_reason, "which frames have no vector"),
        (_fewer_reasons, "which frames have no vector"),
        (_reasons_of_another_type, "which frames have no vector"),
        (_other_type, "embeddings are float64"),
    ],
)
def test_parts_that_do_not_fit_are_reported(path, damage, message):
    with h5py.File(path, "r+") as file:
        damage(file)
    seal(path)
    with pytest.raises(InputError, match=message):
        read_embeddings(path)


def test_every_changed_byte_is_refused(path):
    content = path.read_bytes()
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        with pytest.raises(DamagedFileError, match=r"s\.esm2\.h5: is not what its task wrote"):
            read_embeddings(path)


@pytest.mark.parametrize("block_bytes", [1, 31, 32, 33, 100])
def test_blocks_of_any_size_are_checked(path, block_bytes, monkeypatch):
    monkeypatch.setattr(files, "BLOCK_BYTES", block_bytes)
    assert read_embeddings(path)[0] == IDS


@pytest.mark.parametrize("length", [0, 1, 31, 32, 33, 4000])
def test_every_cut_is_refused(path, length):
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DamagedFileError, match="is not what its task wrote"):
        read_embeddings(path)


@pytest.mark.parametrize("module", ["embeddings.store", "sequences.frames_file"])
def test_torch_is_not_imported(module):
    code = f"import sys, virnucpro.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_an_id_that_hdf5_would_cut_is_not_written(tmp_path):
    with pytest.raises(AssertionError, match="lose NULs"):
        write_embeddings(tmp_path / "x.h5", ["a", "b\0"], DATA, PROVENANCE)
    assert not (tmp_path / "x.h5").exists()
