"""The same sequences give the same bytes however the work is cut, and a lost shard is an error."""

from conftest import PROJECT, Pipeline

DEMO = PROJECT / "assets" / "demo"
SHEET = str(DEMO / "samplesheet.csv")
TABLES = {
    "prediction_results.txt", "prediction_results_highestscore.csv", "sequences.tsv",
    "contigs.tsv", "chunks.tsv", "regions.bed", "regions.gff3", "viral.fasta", "provenance.json",
}  # fmt: skip


def test_tables_do_not_depend_on_shards_threads_or_neighbours(shared_pipeline: Pipeline) -> None:
    whole = shared_pipeline.run("--input", SHEET, outdir="whole")
    assert whole.status == 0, whole.output
    files = whole.result_files()
    assert set(files) == {
        f"{s}/{t}" for s in ("contigs_a", "contigs_b", "reads") for t in TABLES
    } | {"summary.tsv"}

    # four shards of contigs_a, two threads a task
    (shared_pipeline.folder / "two.config").write_text("process.cpus = 2\n")
    three = shared_pipeline.run(
        "-c", "two.config", "--input", SHEET, "--shard_tokens", "10000", outdir="three"
    )
    assert three.status == 0, three.output
    assert len([n for n in three.names("COMPLETED") if n.startswith("TRANSLATE contigs_a")]) == 4
    assert three.result_files() == files

    many = shared_pipeline.run(
        "--input", SHEET, "--shard_tokens", "3000", "--dnabert_s_shards", "5", outdir="many"
    )
    assert many.status == 0, many.output
    assert len([n for n in many.names("COMPLETED") if n.startswith("TRANSLATE contigs_a")]) >= 9
    assert many.result_files() == files

    alone = shared_pipeline.run("--input", str(DEMO / "contigs_b.fa.gz"), outdir="alone")
    assert alone.status == 0, alone.output
    for table in TABLES:
        assert alone.table("contigs_b", table) == files[f"contigs_b/{table}"], table


def test_a_lost_shard_is_an_error_and_no_table(pipeline: Pipeline) -> None:
    (pipeline.folder / "lose.config").write_text(
        "process { withName: 'CLASSIFY' {\n"
        "  beforeScript = { task.tag == 'contigs_a.00002' ? 'exit 9' : \"export PATH=${projectDir}/.venv/bin:\\$PATH\" }\n"
        "  errorStrategy = 'ignore'\n} }\nworkflow.failOnIgnore = false\n"
    )  # fmt: skip
    run = pipeline.run(
        "-c", "lose.config", "--input", str(DEMO / "contigs_a.fa.gz"), "--shard_tokens", "10000"
    )
    assert run.status == 1
    assert (
        "sample contigs_a: 4 shards expected, 3 .chunks.fna files came. Missing: contigs_a.00002"
        in run.output
    )
    assert not (run.outdir / "contigs_a").exists()


def test_save_embeddings_keeps_one_file_a_shard(pipeline: Pipeline) -> None:
    run = pipeline.run(
        "--input", str(DEMO / "contigs_a.fa.gz"), "--save_embeddings", "--shard_tokens", "20000"
    )
    assert run.status == 0, run.output
    folder = run.outdir / "contigs_a" / "embeddings"
    assert sorted(p.name for p in folder.iterdir()) == [
        f"contigs_a.0000{n}.{e}.h5" for n in (1, 2) for e in ("dnabert_s", "esm2")
    ]
