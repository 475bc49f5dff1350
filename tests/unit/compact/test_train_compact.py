"""tools/train_compact.py."""

import importlib.util
import json
from dataclasses import replace

import pytest
from compact_data import PROJECT, TINY


@pytest.fixture
def tool(monkeypatch):
    spec = importlib.util.spec_from_file_location("tool", PROJECT / "tools/train_compact.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    monkeypatch.setattr(tool, "RECIPE", TINY)
    monkeypatch.setattr(tool, "LENGTHS_BP", ())
    return tool


def test_the_tool_reports_a_wrong_folder(tmp_path, tool, capsys):
    assert tool.main(["--data", str(tmp_path), "--out", str(tmp_path / "set")]) == 2
    assert f"{tmp_path}: cannot be read" in capsys.readouterr().err


def test_only_the_same_run_goes_on_from_a_checkpoint(sources, tool):
    given = ["--data", "D", "--out", "O/set"]
    more = [[], ["--seed", "2"], ["--chunk-length", "300"],
            ["--teacher", str(PROJECT / "models/compact-500")]]  # fmt: skip
    names = {tool._checkpoint(tool.parse_args(given + m), TINY, sources) for m in more}
    args = tool.parse_args(given)
    names |= {tool._checkpoint(args, replace(TINY, steps=3), sources)}
    names |= {tool._checkpoint(args, TINY, sources[1:])}
    names |= {tool._checkpoint(args, TINY, [replace(s, split="train") for s in sources])}
    assert len(names) == 7
    assert tool._checkpoint(args, TINY, sources) in names


def test_the_tool_trains_a_set_on_the_scores_of_a_teacher(tmp_path, data, tool):
    out = tmp_path / "set"
    options = ["--chunk-length", "90", "--steps", "20", "--seed", "5", "--device", "cpu"]
    options += ["--window-shares", "0.8", "1", "--processes", "1"]
    assert tool.main(["--data", str(data), "--out", str(out), *options]) == 0
    run = json.loads((out / "modelset.json").read_text())["measured"]["run"]
    assert (run["steps"], run["seed"], run["device"], run["teacher"]) == (20, 5, "CPU", None)
    assert run["window_shares"] == [0.8, 1]

    pupil = tmp_path / "pupil"
    options += ["--teacher", str(out)]
    assert tool.main(["--data", str(data), "--out", str(pupil), *options]) == 0
    assert json.loads((pupil / "modelset.json").read_text())["measured"]["run"]["teacher"] == "set"
    assert "scores of set as labels" in (pupil / "README.md").read_text()
