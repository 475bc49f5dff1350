"""The demo with the bundled model set, under both Nextflow parsers."""

import csv

import pytest
from conftest import PROJECT, Pipeline


@pytest.mark.parametrize("parser", ["v1", "v2"])
def test_the_demo_counts_add_up(pipeline: Pipeline, parser: str) -> None:
    pipeline.model_set = PROJECT / "models" / "compact-500"
    pipeline.config = None
    run = pipeline.run("-profile", "demo", NXF_SYNTAX_PARSER=parser)
    assert run.status == 0, run.output
    with (run.outdir / "summary.tsv").open() as table:
        rows = list(csv.DictReader(table, delimiter="\t"))
    assert [row["sample"] for row in rows] == ["contigs_a", "contigs_b", "reads"]
    assert [row["sequences"] for row in rows] == ["74", "74", "600"]
    assert rows[2]["kind"] == "error-free 150 bp pairs"
    for row in rows:
        outcomes = ("viral", "non-viral", "empty", "too_short", "no_codon", "no_open_frame")
        assert sum(int(row[outcome]) for outcome in outcomes) == int(row["sequences"])
        assert row["sample"] in run.output
    for name in ("execution_report", "execution_timeline", "pipeline_dag"):
        (page,) = run.outdir.glob(f"pipeline_info/{name}_*.html")
        assert "EMBED_ESM2" in page.read_text()
    versions = (run.outdir / "pipeline_info" / "versions.yml").read_text()
    assert "EMBEDDING:EMBED_ESM2" in versions
    assert "torch: 2." in versions
