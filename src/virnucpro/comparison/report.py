"""The comparison as text."""

from collections.abc import Iterator

from virnucpro.comparison.compare import LevelResult, SampleResult
from virnucpro.comparison.differences import QUANTILES, TIE_ZONE, Differences, Ids
from virnucpro.comparison.tables import Row


def sample_lines(result: SampleResult) -> Iterator[str]:
    """Yield the lines about one sample."""
    yield f"sample {result.name}"
    for level in result.levels:
        yield from _level_lines(level)
    for name, side in result.one_sided.items():
        yield f"  {name}: only {side} has such a table"


def _level_lines(level: LevelResult) -> Iterator[str]:
    differences = level.differences
    rows_a = differences.num_common + differences.only_a.count
    rows_b = differences.num_common + differences.only_b.count
    order = "same order" if level.same_order else "other order, or repeated ids"
    yield f"  {level.level}: {level.a.path} and {level.b.path}"
    yield f"    rows: {rows_a} in A, {rows_b} in B, {differences.num_common} in both ({order})"
    for text, ids in (
        ("only in A", differences.only_a),
        ("only in B", differences.only_b),
        ("ids that repeat in A", differences.repeated_a),
        ("ids that repeat in B", differences.repeated_b),
    ):
        if ids.count:
            yield f"    {text}: {_named(ids)}"
    yield f"    labels: {differences.num_agreeing} of {differences.num_common} agree"
    yield from _score_lines(level, differences)
    if differences.num_flips:
        yield from _flip_lines(differences)
    yield f"    {'equal' if differences.is_equal else 'DIFFERENT'}"


def _score_lines(level: LevelResult, differences: Differences) -> Iterator[str]:
    if not differences.scored:
        sides = [name for name, table in (("A", level.a), ("B", level.b)) if table.scored]
        yield f"    scores: not compared, {'only ' + sides[0] if sides else 'neither'} has them"
        return
    spread = differences.spread
    if spread.count:
        quantiles = ", ".join(f"{100 * q:g} % {spread.quantile(q):.2g}" for q in QUANTILES)
        top = f" ({spread.max_id})" if spread.max else ""
        yield f"    score differences: max {spread.max:.2g}{top}, mean {spread.mean:.2g}"
        within = f"within {differences.tolerance:g}: {spread.within} of {spread.count}"
        yield f"    {quantiles}; {within}"
    if differences.num_half_nan:
        yield f"    NaN in one of them only: {differences.num_half_nan}"


def _flip_lines(differences: Differences) -> Iterator[str]:
    clear = f"{differences.num_clear_flips} of them further than {TIE_ZONE} from the tie"
    if differences.unscored_flips:
        clear += f", {len(differences.unscored_flips)} of unknown scores"
    yield f"    other labels: {differences.num_flips}, {clear}"
    for a, b in differences.flips:
        yield f"      {a.id}: A {_scored(a)}, B {_scored(b)}"
    if num_more := differences.num_flips - len(differences.flips):
        yield f"      and {num_more} more (--export-csv has all)"


def _scored(row: Row) -> str:
    return row.label if row.virus != row.virus else f"{row.label} {row.virus:.6g}"


def _named(ids: Ids) -> str:
    more = ", …" if ids.count > len(ids.first) else ""
    return f"{ids.count} ({', '.join(ids.first)}{more})" if ids.first else str(ids.count)
