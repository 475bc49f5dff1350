"""The same sequences give the same bytes however the work is cut, and a lost shard is an error."""

from pathlib import Path

import pytest
from conftest import PROJECT, Pipeline, Run

DEMO = PROJECT / "assets" / "demo"
SHEET = str(DEMO / "samplesheet.csv")
TABLES = {
    "prediction_results.txt", "prediction_results_highestscore.csv", "sequences.tsv",
    "contigs.tsv", "chunks.tsv", "regions.bed", "regions.gff3", "viral.fasta", "provenance.json",
}  # fmt: skip
TWO_THREADS = "process { withLabel: '(process_gpu)' { cpus = 2 } }\n"
LOSE_A_SHARD = """
process {
    withName: 'CLASSIFY' {
        beforeScript  = { task.tag == 'contigs_a.00002' ? 'exit 9' : "export PATH=${projectDir}/.venv/bin:\\$PATH" }
        errorStrategy = 'ignore'
    }
}
workflow.failOnIgnore = false
"""


@pytest.fixture(scope="module")
def whole(shared_pipeline: Pipeline) -> Run:
    run = shared_pipeline.run("--input", SHEET, outdir="whole")
    assert run.status == 0, run.output
    return run


def files_of(run: Run, *samples: str) -> dict[str, bytes]:
    """Return the result files of some samples, and their rows of the summary."""
    files = run.result_files()
    chosen = {name: text for name, text in files.items() if name.split("/")[0] in samples}
    rows = {row.split(b"\t")[0].decode(): row for row in files["summary.tsv"].splitlines()}
    return chosen | {f"summary of {sample}": rows[sample] for sample in samples}


def shards(run: Run, sample: str) -> list[str]:
    """Return the shards of a sample that were translated in this run or an earlier one."""
    names = run.names("COMPLETED") | run.names("CACHED")
    return sorted(n.split()[1] for n in names if n.startswith(f"TRANSLATE {sample}"))


def commands(run: Run, process: str) -> set[str]:
    """Return the command lines of a process's tasks."""
    tasks = [task for task in run.tasks if task["process"].endswith(process)]
    return {(Path(task["workdir"]) / ".command.sh").read_text() for task in tasks}


def test_a_run_writes_these_files(whole: Run) -> None:
    assert set(whole.result_files()) == {
        f"{s}/{t}" for s in ("contigs_a", "contigs_b", "reads") for t in TABLES | {"manifest.json"}
    } | {"summary.tsv"}
    assert all("--threads 1 " in text for text in commands(whole, "EMBED_ESM2"))


def test_a_lost_shard_is_an_error_and_then_shards_threads_and_order_change_no_byte(
    shared_pipeline: Pipeline, whole: Run
) -> None:
    folder = shared_pipeline.folder
    header, first, _, last = Path(SHEET).read_text().splitlines()
    rows = [row.replace(",", f",{DEMO}/", 1) for row in (last, first)]
    rows[0] = rows[0].replace(",reads_2", f",{DEMO}/reads_2")
    (folder / "sheet.csv").write_text("\n".join([header, *rows]) + "\n")
    (folder / "two.config").write_text(TWO_THREADS)
    (folder / "lose.config").write_text(LOSE_A_SHARD)
    options = ["-c", "two.config", "--input", "sheet.csv", "--shard_tokens", "10000"]

    lost = shared_pipeline.run("-c", "lose.config", *options, outdir="cut")
    assert lost.status == 1
    assert (
        "sample contigs_a: 4 shards expected, 3 .chunks.fna files came. Missing: contigs_a.00002"
        in lost.output
    )
    assert not (lost.outdir / "contigs_a").exists()

    cut = shared_pipeline.run(*options, "-resume", outdir="cut")
    assert cut.status == 0, cut.output
    assert len(shards(cut, "contigs_a")) == 4 and len(shards(cut, "reads")) > 1
    assert all("--threads 2 " in text for text in commands(cut, "EMBED_ESM2"))
    assert files_of(cut, "reads", "contigs_a") == files_of(whole, "reads", "contigs_a")


def test_a_sample_alone_in_many_shards_is_the_same_and_its_embeddings_are_kept(
    shared_pipeline: Pipeline, whole: Run
) -> None:
    cut = ["--shard_tokens", "5000", "--dnabert_s_shards", "4", "--save_embeddings"]
    run = shared_pipeline.run("--input", str(DEMO / "contigs_a.fa.gz"), *cut, outdir="alone")
    assert run.status == 0, run.output
    pieces = shards(run, "contigs_a")
    assert len(pieces) > 4  # more than one task of each encoder
    files = run.result_files()
    kept = {name.split("/")[-1] for name in files if "/embeddings/" in name}
    assert kept == {
        f"{piece}.{encoder}.h5" for piece in pieces for encoder in ("dnabert_s", "esm2")
    }
    for table in TABLES:
        assert run.table("contigs_a", table) == whole.table("contigs_a", table), table
