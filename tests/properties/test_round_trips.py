"""What a writer writes, its reader returns; what does not matter changes nothing."""

import json
import pickle
import tempfile
from collections import OrderedDict
from pathlib import Path

import h5py
import numpy as np
import torch
from formats import CALIBRATION, DESCRIPTION, PROVENANCE, as_json, embeddings_file
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from limits import read_or_refuse

from virnucpro.consensus.calibration_file import load_calibration, to_json
from virnucpro.consensus.calibrator import (
    Bin,
    Calibration,
    Calibrator,
    Isotonic,
    Rates,
    Temperature,
)
from virnucpro.embeddings.store import EmbeddingsWriter, read_embeddings
from virnucpro.input_checks.engine_options import EncoderOptions, encoder_options
from virnucpro.model_import.restricted_unpickler import read_pickle
from virnucpro.model_import.torch_file import read_torch_file
from virnucpro.model_sets.description import read_model_set
from virnucpro.models import options
from virnucpro.scoring.scores_file import read_scores, write_scores

IDS = st.lists(
    st.text(st.characters(min_codepoint=33, exclude_categories=["C", "Z"]), min_size=1, max_size=9),
    max_size=8,
    unique=True,
)
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
PROBABILITIES = st.floats(0, 1, width=32)


@given(st.data(), IDS, st.integers(1, 5), st.integers(1, 9))
def test_embeddings(data, ids, width, block_rows):
    vectors = data.draw(arrays.arrays(np.float32, (len(ids), width), elements=FLOATS))
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("in blocks", "at once")]
        for path, step in zip(paths, (block_rows, max(1, len(ids))), strict=True):
            writer = EmbeddingsWriter(path, ids, width)
            for first in range(0, len(ids), step):
                writer.write(first, vectors[first : first + step])
            writer.finish(PROVENANCE)
        assert paths[0].read_bytes() == paths[1].read_bytes()
        read_ids, read_vectors, provenance = read_embeddings(paths[0])
    assert (read_ids, provenance) == (ids, PROVENANCE)
    assert read_vectors.tobytes() == vectors.tobytes()


def replace_dataset(file, name, value):
    del file[name]
    file[name] = value


@given(st.data())
def test_embeddings_of_another_structure_are_refused_or_complete(data):
    texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
    values = st.integers(-(2**63), 2**63 - 1) | st.floats() | texts
    shapes = st.lists(st.integers(0, 3), max_size=3).map(tuple)
    kinds = st.sampled_from(["f2", "f4", "f8", "i4", "S1", "S9", "?", ">f4"])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x"
        path.write_bytes(embeddings_file())
        with h5py.File(path, "r+") as file:
            for name in data.draw(st.sets(st.sampled_from(sorted(file.attrs)), max_size=2)):
                if data.draw(st.booleans()):
                    del file.attrs[name]
                else:
                    file.attrs[name] = data.draw(values)
            for name in data.draw(st.sets(st.sampled_from(["ids", "embeddings"]), min_size=1)):
                replace_dataset(file, name, np.zeros(data.draw(shapes), data.draw(kinds)))

        def read():
            ids, vectors, provenance = read_embeddings(path)
            assert vectors.ndim == 2 and len(ids) == len(vectors)
            assert isinstance(provenance.num_tokens, int)

        read_or_refuse(read)


@given(st.data(), IDS)
def test_scores(data, ids):
    scores = data.draw(arrays.arrays(np.float32, (len(ids), 2), elements=PROBABILITIES))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x"
        write_scores(path, ids, scores)
        rows = list(read_scores(path))
    assert [row.frame_id for row in rows] == ids
    again = [[row.other_text, row.virus_text] for row in rows]
    assert np.array(again, np.float32).reshape(-1, 2).tobytes() == scores.tobytes()


def rising(low, high, size, *, strictly):
    numbers = st.floats(low, high, allow_subnormal=False)
    return st.lists(numbers, min_size=size, max_size=size, unique=strictly).map(sorted)


@st.composite
def calibrations(draw):
    bins = []
    for min_chunks in [1, *sorted(draw(st.sets(st.integers(2, 99), max_size=2)))]:
        size = draw(st.integers(1, 4))
        rates = Rates(
            (-1.0, *draw(rising(-0.99, 1, size - 1, strictly=True))),
            tuple(draw(rising(0, 1, size, strictly=False)))[::-1],
            tuple(draw(rising(1e-6, 1, size, strictly=False)))[::-1],
        )
        if draw(st.booleans()):
            curve = Temperature(draw(st.floats(0.01, 100)), draw(st.floats(-50, 50)))
        else:
            curve = Isotonic(
                tuple(draw(rising(-1, 1, size, strictly=True))),
                tuple(draw(rising(1e-6, 1 - 1e-6, size, strictly=False))),
            )
        bins.append(Bin(min_chunks, curve, rates))
    prior, threshold = (draw(st.floats(0.001, 0.999)) for _ in range(2))
    return Calibration(tuple(bins), prior, threshold, CALIBRATION.made_for)


@given(calibrations(), st.lists(st.floats(-1, 1), min_size=1, max_size=5), st.integers(1, 200))
def test_calibrations(calibration, deltas, num_chunks):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x"
        path.write_text(to_json(calibration))
        assert load_calibration(path) == calibration
    calibrator = Calibrator(calibration)
    verdicts = [calibrator.verdict(delta, num_chunks) for delta in sorted(deltas)]
    assert all(0 <= verdict.p_virus <= 1 for verdict in verdicts)
    for lower, higher in zip(verdicts, verdicts[1:], strict=False):
        assert higher.p_virus >= lower.p_virus - 1e-12 and higher.is_virus >= lower.is_virus
        assert not lower.is_virus or higher.fdr <= lower.fdr


@given(st.randoms(use_true_random=False), st.dictionaries(st.text(max_size=4), st.integers()))
def test_the_digest_of_a_set_depends_on_neither_the_order_of_keys_nor_notes(random, notes):
    def shuffled(value):
        if isinstance(value, dict):
            items = [(key, shuffled(item)) for key, item in value.items()]
            random.shuffle(items)
            return dict(items)
        return value

    digests = set()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "modelset.json"
        for description in (DESCRIPTION, shuffled(notes | DESCRIPTION)):
            path.write_bytes(as_json(description))
            digests.add(read_model_set(Path(folder)).digest)
    assert len(digests) == 1


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**120), 2**120) | st.floats(allow_nan=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4)
    | st.lists(inner, max_size=4).map(tuple)
    | st.dictionaries(st.text() | st.integers(-(2**31), 2**31), inner, max_size=4)
    | st.dictionaries(st.text(), inner, max_size=4).map(OrderedDict)
    | st.sets(st.text(), max_size=3),
    max_leaves=12,
)  # fmt: skip


@given(PLAIN, st.integers(0, 5))
def test_pickles_of_plain_values(value, protocol):
    data = pickle.dumps(value, protocol)
    content = read_pickle(data + b"what follows")
    assert content.value == value and type(content.value) is type(value)
    assert content.num_bytes == len(data) and not content.storages


KINDS = st.sampled_from([torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.bool])


@given(
    st.dictionaries(st.text("abc.", min_size=1, max_size=4), st.tuples(
        st.lists(st.integers(0, 3), max_size=3), KINDS, st.booleans()), max_size=3),
    st.booleans(),
)  # fmt: skip
def test_torch_files(tensors, is_zip):
    state = {}
    for name, (shape, kind, is_turned) in tensors.items():
        count = int(np.prod(shape))
        tensor = (torch.arange(2 * count) % 7).to(kind)[count:].reshape(shape)
        state[name] = tensor.T if is_turned and len(shape) == 2 else tensor
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.pt"
        torch.save(state, path, _use_new_zipfile_serialization=is_zip)
        file = read_torch_file(path)
        numbers = {name: tensor.read() for name, tensor in file.tensors(file.value).items()}
    assert numbers.keys() == state.keys()
    for name, tensor in state.items():
        expected = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
        assert numbers[name].shape == expected.shape and (numbers[name] == expected).all()


@given(
    st.sampled_from(options.DEVICES), st.sampled_from(options.PRECISIONS),
    st.sampled_from(options.ENGINES), st.sampled_from(options.ATTENTION),
    st.none() | st.integers(options.MIN_TOKEN_BUDGET, 2**20),
)  # fmt: skip
def test_every_combination_of_encoder_options_has_an_answer(
    device, precision, engine, attention, budget
):
    asked = EncoderOptions(device, precision, engine, attention, budget)
    by_encoder, faults = encoder_options(None, asked, None)  # a set matters to profiles only
    assert by_encoder["esm2"] == asked and by_encoder["dnabert_s"].attention != "varlen"
    if device == "cpu" and (precision in ("fp16", "fp8", "tf32") or attention == "triton"):
        assert any("needs a GPU" in fault for fault in faults)
    if engine == "official" and budget:
        assert any("--token_budget" in fault for fault in faults)
    assert all(fault.isprintable() for fault in faults)
    json.dumps(faults)
