"""Pairs the rows of two tables: in file order where that is the same, else sorted by id."""

import heapq
import os
import subprocess
import tempfile
from array import array
from collections.abc import Iterator
from itertools import groupby, zip_longest
from operator import itemgetter

import numpy as np

from virnucpro.comparison.tables import ResultTable, Row
from virnucpro.errors import InputError

Pair = tuple[Row | None, Row | None]  # a row of A and of B with the same id, or one alone
SORT_MEMORY = "256M"


class OrderDiffersError(Exception):
    """The tables cannot be read in lockstep: compare them sorted."""


def in_lockstep(a: ResultTable, b: ResultTable) -> Iterator[Pair]:
    """Yield pairs while both files have the same ids in the same order, in constant time a row.

    Memory: 8 bytes a row, to see whether an id repeats.
    Raises: OrderDiffersError at the first difference, or at the end when an id may repeat.
    """
    hashes = array("q")
    for row_a, row_b in zip_longest(a.rows(), b.rows()):
        if row_a is None or row_b is None or row_a.id != row_b.id:
            raise OrderDiffersError
        hashes.append(hash(row_a.id))
        yield row_a, row_b
    if len(hashes):
        values = np.frombuffer(hashes, np.int64)
        if len(np.unique(values)) < len(values):
            raise OrderDiffersError


def by_id(a: ResultTable, b: ResultTable) -> Iterator[list[Pair]]:
    """Yield the pairs of each id, in the order of ids. Rows of a repeated id pair up in file order.

    Both tables are sorted on disk, in the folder for temporary files; memory is constant.
    """
    of_a, of_b = ((row.id, 0, row) for row in _sorted(a)), ((row.id, 1, row) for row in _sorted(b))
    for _, group in groupby(heapq.merge(of_a, of_b, key=itemgetter(0)), key=itemgetter(0)):
        rows: tuple[list[Row], list[Row]] = ([], [])  # of A, of B
        for _, side, row in group:
            rows[side].append(row)
        yield list(zip_longest(*rows))


def _sorted(table: ResultTable) -> Iterator[Row]:
    """Yield the rows of a table sorted by code point, stable; `sort` does it outside the process.

    Raises: InputError when its disk is full.
    """
    folder = tempfile.gettempdir()
    command = ["sort", "--stable", "--field-separator=\t", "--key=1,1"]
    command += [f"--buffer-size={SORT_MEMORY}", "--temporary-directory", folder]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, "LC_ALL": "C"},
    ) as process:
        assert process.stdin and process.stdout
        try:
            with process.stdin as stream:  # sort writes when it has read all
                for row in table.rows():
                    stream.write(f"{row.id}\t{row.label}\t{row.other!r}\t{row.virus!r}\n")
        except BrokenPipeError:
            pass  # see its exit status
        else:
            for line in process.stdout:
                name, label, other, virus = line.split("\t")
                yield Row(name, label, float(other), float(virus))
    if process.returncode:
        raise InputError(
            f"{table.path}: cannot be sorted in {folder} (see above). Set TMPDIR to a folder with "
            "more free space than the table takes."
        )
