"""Files of a sample that do not fit together end in an error and no table."""

from dataclasses import replace
from pathlib import Path

import pytest
from samples import CHUNK_BP, visible

from virnucpro.calls.summarise_task import summarise_sample
from virnucpro.errors import InputError


def edit(path: Path, change) -> None:
    lines = path.read_text().splitlines(keepends=True)
    change(lines)
    path.write_text("".join(lines))


def _lose_scores(files):
    return replace(files, score_tables=files.score_tables[1:])


def _lose_chunk_table(files):
    return replace(files, chunk_tables=files.chunk_tables[:-1])


def _lose_chunk_file(files):
    return replace(files, chunk_files=files.chunk_files[1:])


def _extra_shard(files):
    path = files.records.with_name("s.00099.chunks.fna")
    path.write_text(">x_chunk_1\nACG\n")
    return replace(files, chunk_files=[*files.chunk_files, path])


def _extra_scores(files):
    path = files.records.with_name("t.00001.scores.tsv")
    path.write_bytes(files.score_tables[0].read_bytes())
    return replace(files, score_tables=[*files.score_tables, path])


def _shard_twice(files):
    return replace(files, chunk_tables=[*files.chunk_tables, files.chunk_tables[0]])


def _swap_score_rows(files):
    edit(files.score_tables[1], lambda lines: lines.insert(1, lines.pop(2)))


def _lose_score_row(files):
    edit(files.score_tables[1], lambda lines: lines.pop(1))


def _lose_last_score_row(files):
    edit(files.score_tables[-1], lambda lines: lines.pop())


def _extra_score_row(files):
    edit(files.score_tables[-1], lambda lines: lines.append("x_chunk_1F1\t0.5\t0.5\n"))


def _repeat_score_row(files):
    edit(files.score_tables[1], lambda lines: lines.insert(1, lines[1]))


def _cut_scores(files):
    path = files.score_tables[1]
    path.write_bytes(path.read_bytes()[:-3])


def _scores_without_header(files):
    edit(files.score_tables[1], lambda lines: lines.pop(0))


def _swap_scores(files):
    first, second = files.score_tables[:2]
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)


def _lose_table_row(files):
    edit(files.chunk_tables[2], lambda lines: lines.pop())


def _repeat_table_row(files):
    edit(files.chunk_tables[2], lambda lines: lines.append(lines[-1]))


def _cut_table(files):
    path = files.chunk_tables[2]
    path.write_bytes(path.read_bytes()[:-3])


def _cut_table_between_cells(files):
    edit(files.chunk_tables[2], lambda lines: lines.append(lines.pop().rsplit("\t", 1)[0] + "\n"))


def _states_cut(files):
    edit(files.chunk_tables[2], lambda lines: lines.append(lines.pop()[:-5] + "\t\t\n"))


def _span_of_an_open_frame(files):
    edit(files.chunk_tables[2], lambda lines: lines.append(lines.pop()[:-3] + "\t4\t7\n"))


def _unknown_state(files):
    def change(lines):
        chunk, length, states, *span = lines.pop().split("\t")
        lines.append("\t".join((chunk, length, "x" + states[1:], *span)))

    edit(files.chunk_tables[2], change)


def _span_beyond_the_chunk(files):
    def change(lines):
        chunk, length, states, *_ = lines.pop().split("\t")
        lines.append(f"{chunk}\t{length}\tp{states[1:]}\t0\t{int(length) + 1}\n")

    edit(files.chunk_tables[2], change)


def _cut_chunk_file(files):
    path = files.chunk_files[2]
    path.write_bytes(path.read_bytes()[:-5])


def _lose_chunk(files):
    path = files.chunk_files[5]
    path.write_text(path.read_text().rpartition(">")[0])
    edit(files.chunk_tables[5], lambda lines: lines.pop())


def _other_chunk(files):
    path = files.chunk_files[2]
    path.write_text(path.read_text().replace("_chunk_", "_chunk_7"))


def _lose_record(files):
    edit(files.records, lambda lines: lines.pop())


def _repeat_record(files):
    edit(files.records, lambda lines: lines.append(lines[-1].replace("last", "more")))


def _swap_records(files):
    edit(files.records, lambda lines: lines.append(lines.pop(-2)))


def _cut_records(files):
    files.records.write_bytes(files.records.read_bytes()[:-3])


def _cut_shards(files):
    edit(files.shards, lambda lines: lines.pop())


def _longer_shards(files):
    edit(files.shards, lambda lines: lines.append("s.00098\t1\t300\n"))


def _shard_with_more_chunks(files):
    edit(files.shards, lambda lines: lines.append(lines.pop().replace("\t1\t", "\t2\t")))


def _records_of_another_program(files):
    edit(files.records, lambda lines: lines.__setitem__(0, "id\tname\n"))


def _other_length(files):
    edit(files.records, lambda lines: lines.append(lines.pop().replace("\t600\t", "\t590\t")))


@pytest.mark.parametrize(
    "damage, words",
    [
        (_lose_scores, ["sample s: the scores of shard s.00001 are missing", "it has frames to score",
                        "No table is written"]),
        (_lose_chunk_table, [".chunks.tsv files came", "Missing: s.000", "not expected: none"]),
        (_lose_chunk_file, [".chunks.fna files came", "Missing: s.00001", "resume the run"]),
        (_extra_shard, ["Missing: none", "not expected: s.00099"]),
        (_extra_scores, [".scores.tsv files came", "not expected: t.00001"]),
        (_shard_twice, [".chunks.tsv files came"]),
        (_swap_score_rows, ["frames are", "scores are of"]),
        (_lose_score_row, ["frames are", "scores are of"]),
        (_lose_last_score_row, ["last_without_chunk_1", "scores are of"]),
        (_extra_score_row, ["score of x_chunk_1F1, which is not a frame of it"]),
        (_repeat_score_row, ["frames are", "scores are of"]),
        (_cut_scores, [".scores.tsv, line", "is cut short"]),
        (_scores_without_header, [".scores.tsv: its first line is not"]),
        (_swap_scores, ["frames are", "scores are of"]),
        (_lose_table_row, ["where its table has none"]),
        (_repeat_table_row, ["chunk none where its table has"]),
        (_cut_table, ["s.00003.chunks.tsv, line", "is cut short"]),
        (_cut_table_between_cells, ["s.00003.chunks.tsv, line", "is cut short"]),
        (_states_cut, ["its table has", "frames"]),
        (_span_of_an_open_frame, ["and a partial one at '4-7'", "Run the shard again"]),
        (_unknown_state, ["frames 'x", "Run the shard again"]),
        (_span_beyond_the_chunk, ["bp, but its partial frame is at 0-"]),
        (_cut_chunk_file, ["bp, but its table has"]),
        (_lose_chunk, ["chunks, SPLIT wrote"]),
        (_other_chunk, ["where its table has"]),
        (_lose_record, ["is of no sequence in s.records.tsv"]),
        (_repeat_record, ["more_without with 2 chunks, the shards have none left"]),
        (_swap_records, ["last_without with 2 chunks, the shards have r3333_chunk_1"]),
        (_cut_records, ["s.records.tsv, line", "is cut short"]),
        (_cut_shards, [".chunks.fna files came", "not expected: s.0"]),
        (_longer_shards, ["Missing: s.00098"]),
        (_shard_with_more_chunks, ["1 chunks, SPLIT wrote 2"]),
        (_records_of_another_program, ["s.records.tsv: its first line is not"]),
        (_other_length, ["last_without, 590 bp, was not cut into chunks of 300 bp"]),
    ],
)  # fmt: skip
def test_files_that_do_not_fit_end_in_an_error_and_no_table(files, out, damage, words):
    changed = damage(files) or files
    with pytest.raises(InputError) as error:
        summarise_sample(changed, CHUNK_BP, out)
    text = str(error.value)
    assert all(word in text for word in words), text
    assert visible(out) == set()


def test_another_chunk_length_than_splits_is_refused(files, out):
    with pytest.raises(InputError, match="was not cut into chunks of 290 bp. Give --chunk-length"):
        summarise_sample(files, 290, out)
    assert visible(out) == set()
