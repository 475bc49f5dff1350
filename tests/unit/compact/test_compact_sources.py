"""Labelled sequences out of folders of chunks and of whole sequences."""

import gzip
from pathlib import Path

import pytest
from compact_data import NUM_SOURCES, SOURCE_BP, source

from virnucpro.compact.sources import read_sources
from virnucpro.errors import InputError


def test_chunks_that_touch_are_joined_and_related_sources_left_out(sources):
    lengths = [len(s.sequence) for s in sources if s.split == "train" and s.label == 1]
    # the two chunks of the related source are out
    assert sorted(lengths) == [SOURCE_BP] * (NUM_SOURCES - 2)
    joined = [s for s in sources if s.split == "val" and len(s.sequence) == 2 * SOURCE_BP]
    assert len(joined) == 2 and {s.label for s in joined} == {0, 1}
    assert {s.licence for s in sources} == {"MIT"}


def test_whole_sequences_are_read_but_for_those_that_are_there_as_chunks(tmp_path, data):
    rows = ["id\tlabel\tclass\tgroup\tsplit\tlicence\talso_in_labelled"]
    for name, label in (("viral", 1), ("nonviral", 0)):
        entries = ""
        for n, (split, also) in enumerate([("train", "no"), ("val", "no"), ("train", "yes")]):
            rows.append(f"{name}{n}\t{label}\tphage\tG{name}{split}\t{split}\tMIT\t{also}")
            entries += f">{name}{n}\n{'ACGT' * 50}\n"
        (tmp_path / f"{name}.fa.gz").write_bytes(gzip.compress(entries.encode()))
    (tmp_path / "manifest.tsv.gz").write_bytes(gzip.compress(("\n".join(rows) + "\n").encode()))
    found = read_sources([tmp_path])
    assert [(s.label, s.split) for s in found] == [
        (1, "train"),
        (1, "val"),
        (0, "train"),
        (0, "val"),
    ]
    assert len(read_sources([data, tmp_path])) == len(read_sources([data])) + 4


@pytest.mark.parametrize("missing", ["all", "manifest", "cut"])
def test_a_folder_without_data_is_refused(tmp_path, missing):
    if missing != "all":
        (tmp_path / "500bp").mkdir()
        (tmp_path / "related_train_val.tsv").write_text("val_source\ttrain_source\n")
    if missing == "cut":
        whole = gzip.compress(b"id\tclass\n" * 99)
        (tmp_path / "500bp/manifest.tsv.gz").write_bytes(whole[:-9])
    with pytest.raises(InputError, match="Give folders of labelled chunks"):
        read_sources([tmp_path])


def test_a_group_on_both_sides_is_refused(monkeypatch):
    own = [source("phage", "G", 400), source("phage", "G", 400, "val")]
    monkeypatch.setattr("virnucpro.compact.sources._whole", lambda folder: own)
    with pytest.raises(InputError, match="group G: is in train and in val"):
        read_sources([Path("any")])
