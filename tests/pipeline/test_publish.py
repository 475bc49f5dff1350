"""What is published is complete or absent, and of this run."""

import csv
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import NEXTFLOW, PROJECT, Pipeline, Run

from virnucpro.cli.main import main

DEMO = PROJECT / "assets" / "demo"
SHEET = f"sample,input\na,{DEMO}/contigs_a.fa.gz\nb,{DEMO}/contigs_b.fa.gz\n"
INFO = ("model_set.json", "versions.yml")


def hidden(outdir: Path) -> list[Path]:
    return sorted(outdir.glob(".*"))


def statuses(outdir: Path) -> dict[str, str]:
    with (outdir / "summary.tsv").open() as table:
        return {row["sample"]: row["status"] for row in csv.DictReader(table, delimiter="\t")}


def everything(run: Run) -> dict[str, bytes]:
    """Return the result files, and what the run wrote about itself."""
    info = {name: (run.outdir / "pipeline_info" / name).read_bytes() for name in INFO}
    return run.result_files() | info


def work_folder(run: Run, task: str) -> Path:
    process, tag = task.split()
    (folder,) = (t["workdir"] for t in run.tasks
                 if t["process"].endswith(process) and t["tag"] == tag)  # fmt: skip
    return Path(folder)


@pytest.fixture(scope="module")
def launch(shared_pipeline: Pipeline) -> Pipeline:
    (shared_pipeline.folder / "sheet.csv").write_text(SHEET)
    return shared_pipeline


@pytest.fixture(scope="module")
def first(launch: Pipeline) -> Run:
    run = launch.run("--input", "sheet.csv", "--save_embeddings", outdir="first")
    assert run.status == 0, run.output
    assert main(["verify", str(run.outdir)]) == 0
    assert hidden(run.outdir) == []
    return run


def start_and_stop_in_front_of_rename(
    launch: Pipeline, outdir: Path
) -> tuple[subprocess.Popen[bytes], Path]:
    """Start a run that waits before it replaces the folder of sample a; return it, with its folder.

    It asks the old manifest, which is a pipe here, whose files it replaces.
    """
    (outdir / "a").mkdir(parents=True)
    (outdir / "a" / "contigs.tsv").write_text("half")  # as an older version left it
    pipe = outdir / "a" / "manifest.json"
    os.mkfifo(pipe)
    options = ["--input", "sheet.csv", "--save_embeddings", "-resume", "--outdir", str(outdir)]
    started = subprocess.Popen(
        launch.command(*options), cwd=launch.folder, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 240
    while not list(outdir.glob(".publishing-*/new/a/manifest.json")):
        assert started.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    (folder,) = hidden(outdir)
    return started, folder


def test_a_run_killed_while_it_publishes_leaves_nothing_half_and_is_healed(
    launch: Pipeline, first: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    outdir = launch.folder / "killed"
    started, folder = start_and_stop_in_front_of_rename(launch, outdir)
    os.killpg(started.pid, signal.SIGKILL)
    started.wait()
    assert statuses(outdir) == {"a": "unfinished", "b": "unfinished"}
    assert (outdir / "a" / "contigs.tsv").read_text() == "half"
    assert main(["verify", str(outdir)]) == 1
    assert "FAULT a: status is unfinished" in capsys.readouterr().out
    # as if it had been killed between its two renames
    (folder / "replaced").mkdir(exist_ok=True)
    (outdir / "a" / "manifest.json").unlink()
    (outdir / "a").rename(folder / "replaced" / "a")

    options = ["--input", "sheet.csv", "--save_embeddings", "-resume"]
    healed = launch.run(*options, outdir="killed")
    assert healed.status == 0, healed.output
    assert not healed.names("COMPLETED")
    assert everything(healed) == everything(first)
    assert hidden(outdir) == []
    assert main(["verify", str(outdir)]) == 0


def test_of_two_runs_at_the_same_time_neither_harms_the_other(
    launch: Pipeline, first: Run, tmp_path: Path
) -> None:
    outdir = launch.folder / "two"
    started, folder = start_and_stop_in_front_of_rename(launch, outdir)
    pipe = (outdir / "a" / "manifest.json").rename(tmp_path / "pipe")
    beside = Pipeline(tmp_path, launch.model_set).run(
        "--input", str(launch.folder / "sheet.csv"), "--frame_rule", "longest_open",
        outdir=str(outdir),
    )  # fmt: skip
    assert beside.status == 0, beside.output
    assert hidden(outdir) == [folder]
    assert main(["verify", str(outdir)]) == 0
    assert beside.table("a") != first.table("a")
    pipe.write_text("{}")  # and the first goes on
    assert started.wait(120) == 0
    assert hidden(outdir) == []
    last = Run(0, "", outdir)
    assert {name: last.result_files()[name] for name in first.result_files() if name[0] == "a"} == {
        name: content for name, content in first.result_files().items() if name[0] == "a"
    }


def test_results_follow_the_last_run_though_all_is_cached(launch: Pipeline, first: Run) -> None:
    options = ["--input", "sheet.csv", "--save_embeddings", "-resume"]
    before = launch.run(*options, outdir="both")
    assert everything(before) == everything(first)
    other = launch.run(*options, "--frame_rule", "longest_open", outdir="both")
    assert main(["verify", str(other.outdir)]) == 0
    assert everything(other)["model_set.json"] != everything(first)["model_set.json"]
    again = launch.run(*options, outdir="both")
    assert not again.names("COMPLETED")
    assert everything(again) == everything(first)
    plain = launch.run(*options[:2], "-resume", outdir="both")  # the embeddings go, too
    assert not (plain.outdir / "a" / "embeddings").exists()
    assert main(["verify", str(plain.outdir)]) == 0


def test_a_sample_that_fails_and_one_that_is_gone_are_not_taken_for_results(
    launch: Pipeline, first: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--input", "sheet.csv", "-resume"]
    assert launch.run(*options, outdir="second").status == 0
    (launch.folder / "bad.fa").write_text(">x\nACGTXX!!\n")
    (launch.folder / "bad.csv").write_text(
        f"sample,input,note\nc,{DEMO}/contigs_a.fa.gz,1\nb,bad.fa,2\n"
    )
    run = launch.run("--input", "bad.csv", "-resume", outdir="second")
    assert run.status == 1
    assert "has results of 1 sample that this run does not have: a." in run.output
    aside = run.outdir / "pipeline_info" / "earlier_results" / "b"
    assert f"Results of an earlier run are now in: {aside}." in run.output
    kept = {path.name: path.read_bytes() for path in aside.iterdir()}
    assert kept["contigs.tsv"] == first.table("b", "contigs.tsv")
    assert not (run.outdir / "b").exists() and (run.outdir / "a").exists()
    with (run.outdir / "summary.tsv").open() as text:
        c, b = csv.DictReader(text, delimiter="\t")
    assert (c["sample"], c["status"], c["reason"], c["note"]) == ("c", "done", "", "1")
    assert (b["sample"], b["status"], b["sequences"], b["note"]) == ("b", "failed", "", "2")
    assert b["reason"].startswith("bad.fa, record 1 (x): letter 'X' at position 5")
    assert list(b)[:3] == ["sample", "sequences", "viral"] and b["model_set"] == "random"
    assert main(["verify", str(run.outdir)]) == 1
    report = capsys.readouterr().out
    assert "FAULT b: status is failed: bad.fa, record 1" in report
    assert "FAULT a: is not in summary.tsv" in report and "ok    c: " in report


@pytest.mark.parametrize("mode", ["link", "symlink", "rellink"])
def test_results_can_be_links(launch: Pipeline, first: Run, mode: str) -> None:
    run = launch.run(
        "--input", "sheet.csv", "--save_embeddings", "--publish_dir_mode", mode, "-resume",
        outdir=f"by_{mode}",
    )  # fmt: skip
    assert run.status == 0, run.output
    assert run.result_files() == first.result_files()
    for name in ("contigs.tsv", "embeddings/a.00001.esm2.h5"):
        file = run.outdir / "a" / name
        assert file.is_symlink() == (mode != "link")
        if file.is_symlink():
            assert file.readlink().is_absolute() == (mode == "symlink")
        else:
            assert file.stat().st_nlink > 1
    assert main(["verify", str(run.outdir)]) == 0


def test_foreign_files_are_not_lost_and_damaged_ones_not_published(
    launch: Pipeline, first: Run
) -> None:
    options = ["--input", "sheet.csv", "-resume"]
    outdir = launch.folder / "mine"
    (outdir / "a").mkdir(parents=True)
    (outdir / "a" / "notes.txt").write_text("mine")
    table = work_folder(first, "SUMMARISE b") / "b" / "regions.bed"
    content = table.read_bytes()
    table.write_bytes(content + b"#")
    run = launch.run(*options, outdir="mine")
    table.write_bytes(content)
    assert run.status == 1
    assert f"{table} is not what its task wrote" in run.output
    assert statuses(outdir) == {"a": "done", "b": "failed"}
    assert not (outdir / "b").exists()
    aside = outdir / "pipeline_info" / "earlier_results" / "a" / "notes.txt"
    assert aside.read_text() == "mine"
    assert "had files that this pipeline did not write (notes.txt)" in run.output

    # its own input would be moved away
    (outdir / "d").mkdir()
    (outdir / "d" / "x.fa").write_text(">x\nACGT\n")
    (launch.folder / "inside.csv").write_text("sample,input\nd,mine/d/x.fa\n")
    refused = launch.run("--input", "inside.csv", outdir="mine")
    assert refused.status == 1
    assert "mine/d/x.fa lies in it. Give another --outdir" in refused.output
    assert (outdir / "d" / "x.fa").exists()


@pytest.fixture
def small_disk(tmp_path: Path):
    """A file system with 100 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip("no file system can be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_or_read_only_disk_is_one_line(
    launch: Pipeline, first: Run, small_disk: Path
) -> None:
    options = ["--input", "sheet.csv", "-resume"]
    run = launch.run(*options, outdir=str(small_disk))
    assert run.status == 1
    lines = [line for line in run.output.splitlines() if "No space left on device" in line]
    assert len(lines) == 1 and "MB free on its disk" in lines[0]
    assert "Exception" not in run.output
    outcome = statuses(small_disk)
    assert "failed" in outcome.values()
    for sample, status in outcome.items():
        assert (small_disk / sample).exists() == (status == "done")
    assert hidden(small_disk) == []
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    refused = launch.run(*options, outdir=str(small_disk))
    assert refused.status == 1
    assert "Read-only file system" in refused.output
    assert not refused.started() and "Exception" not in refused.output


def test_without_renames_the_manifest_comes_last(launch: Pipeline, tmp_path: Path) -> None:
    """Object stores have none; here a folder is published in their way."""
    publish = PROJECT / "subworkflows/local/utils_virnucpro_pipeline/publish"
    (tmp_path / "s").mkdir()
    (tmp_path / "s/a.tsv").write_text("new\n")
    (tmp_path / "s/manifest.json").write_text('{"format_version": 1, "files": {}}')
    (tmp_path / "out/s").mkdir(parents=True)
    for name in ("a.tsv", "old.tsv", "manifest.json"):
        (tmp_path / "out/s" / name).write_text("old\n")
    (tmp_path / "main.nf").write_text(
        f"include {{ publishWithoutRename }} from '{publish}'\n"
        "workflow {\n"
        "    def files = ['a.tsv': file('s/a.tsv')] + (params.lost ? ['b.tsv': file('s/b.tsv')] : [:])\n"
        "    publishWithoutRename(file('out/s'), files, file('s/manifest.json'))\n"
        "}\n"
    )

    def publish_once(*options: str) -> set[str]:
        subprocess.run([NEXTFLOW, "run", "main.nf", *options], cwd=tmp_path)
        return {path.name for path in (tmp_path / "out/s").iterdir()}

    assert publish_once("--lost", "true") == {"a.tsv"}
    assert publish_once("--lost", "false") == {"a.tsv", "manifest.json"}
    assert (tmp_path / "out/s/a.tsv").read_text() == "new\n"
    assert '"bytes": 4' in (tmp_path / "out/s/manifest.json").read_text()
