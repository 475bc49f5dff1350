"""Labelled sequences, and windows of them to train and to validate on."""

import gzip

import numpy as np
import pytest
import torch
from compact_data import CPU, NUM_SOURCES, RELATED, SOURCE_BP, TINY, WINDOW_BP, frame_pool

from virnucpro.compact.sources import read_sources
from virnucpro.compact.trainer import Trainer
from virnucpro.compact.windows import training_windows, validation_windows

CODONS = {"viral": ("GCT", "AAA", "ATT"), "nonviral": ("GGC", "CTG", "GAC")}


@pytest.fixture(autouse=True)
def one_thread():
    """Keep tiny products from waiting for a second, busy core."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A folder of labelled chunks: 24 of each kind and split; the first two touch in their source."""
    folder = tmp_path_factory.mktemp("labelled")
    chunks = folder / f"{SOURCE_BP}bp"
    chunks.mkdir()
    rng = np.random.default_rng(0)
    manifest = ["id\tclass\tsource_seq\tstart_1based\tgenome\tsplit_unit\tlicence"]
    for split in ("train", "val"):
        for kind, codons in CODONS.items():
            lines = []
            for n in range(NUM_SOURCES):
                name = f"{split}_{kind}_{n}"
                source, start = (name, 1) if n != 1 else (f"{split}_{kind}_0", 1 + SOURCE_BP)
                chunk = "".join(rng.choice(codons, SOURCE_BP // 3 + 1))[:SOURCE_BP]
                lines.append(f">{name} text\n{chunk[:60]}\n{chunk[60:]}\n")
                row = (name, f"{kind} {n % 2}", f"S_{source}", start, source, f"U_{source}", "MIT")
                manifest.append("\t".join(map(str, row)))
            (chunks / f"{split}.{kind}.fa.gz").write_bytes(gzip.compress("".join(lines).encode()))
    text = "\n".join(manifest) + "\n"
    (chunks / "manifest.tsv.gz").write_bytes(gzip.compress(text.encode()))
    related = f"val_source\ttrain_source\nS_val_viral_1\t{RELATED}\n"
    (folder / "related_train_val.tsv").write_text(related)
    return folder


@pytest.fixture(scope="session")
def sources(data):
    return read_sources([data])


@pytest.fixture(scope="session")
def train(sources):
    return frame_pool(training_windows(sources, (60, WINDOW_BP), TINY.windows, seed=1))


@pytest.fixture(scope="session")
def val(sources):
    return frame_pool(validation_windows(sources, WINDOW_BP))


@pytest.fixture
def trainer(train, val):
    return Trainer(TINY, train, val, 3, CPU)
