"""What users and tools of nf-core look for: files, manifest, schema. Exceptions: .nf-core.yml."""

import json
import re
import runpy
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "nextflow_schema.json").read_text())
CONFIG = (ROOT / "nextflow.config").read_text()
PARAMETERS = {
    name: rule for group in SCHEMA["$defs"].values() for name, rule in group["properties"].items()
}
FILES = [
    "main.nf", "nextflow.config", "nextflow_schema.json", ".nf-core.yml", "LICENSE", "README.md",
    "CHANGELOG.md", "CITATIONS.md", "docs/usage.md", "docs/output.md", "assets/schema_input.json",
    "conf/base.config", "conf/modules.config", "conf/test.config", "conf/test_full.config",
]  # fmt: skip


def manifest() -> dict[str, str]:
    """Return the texts of the manifest."""
    block = CONFIG[CONFIG.index("manifest {") :]
    return dict(re.findall(r"^ +(\w+) += '([^']*)'", block, re.MULTILINE))


@pytest.mark.parametrize("path", FILES)
def test_files_are_where_nf_core_has_them(path):
    assert (ROOT / path).is_file()


def test_the_manifest_is_complete():
    entries = manifest()
    assert set(entries) == {
        "name", "homePage", "description", "mainScript", "defaultBranch", "nextflowVersion",
        "version", "doi", "license",
    }  # fmt: skip
    assert entries["name"].endswith("/virnucpro-nf")  # nf-core's tools take it apart at the slash
    assert f'\nversion = "{entries["version"]}"\n' in (ROOT / "pyproject.toml").read_text()
    assert f"doi:{entries['doi']}." in (ROOT / "CITATIONS.md").read_text()
    assert "contribution: ['author', 'maintainer']" in CONFIG


def test_every_parameter_is_described():
    Draft202012Validator.check_schema(SCHEMA)
    assert {"$schema", "$id", "title", "description", "$defs", "allOf"} <= SCHEMA.keys()
    assert [entry["$ref"] for entry in SCHEMA["allOf"]] == [f"#/$defs/{key}" for key in SCHEMA["$defs"]]  # fmt: skip
    for key, group in SCHEMA["$defs"].items():
        assert key.endswith("_options")
        assert {"title", "description", "fa_icon", "type", "properties"} <= group.keys(), key
        assert set(group.get("required", [])) <= group["properties"].keys()
    for name, rule in PARAMETERS.items():
        assert re.fullmatch("[a-z][a-z0-9_]*", name)
        assert {"type", "description", "fa_icon"} <= rule.keys(), name
        assert len(rule["description"]) <= 80, name  # a line of --help
        if name.endswith(("dir", "input", "model_set", "profile")):
            assert "path" in rule["format"], name


def test_the_configuration_has_the_schemas_parameters():
    """Their defaults are compared by `make lint`, which asks Nextflow (tools/check_schema.py)."""
    block = CONFIG[CONFIG.index("params {") : CONFIG.index("includeConfig")]
    names = re.findall(r"^ {4}(\w+) +=", block, re.MULTILINE)
    names += re.findall(r"^params\.(\w+) +=", CONFIG, re.MULTILINE)
    assert sorted(names) == sorted(PARAMETERS)


def test_usage_has_all_options():
    tool = runpy.run_path(str(ROOT / "tools/write_usage_options.py"))
    usage = (ROOT / "docs/usage.md").read_text()
    assert tool["START"] + tool["options_table"](SCHEMA) + tool["END"] in usage
    profiles = re.findall(r"^    (\w+) +\{ includeConfig", CONFIG, re.MULTILINE)
    table = usage[usage.index("## Profiles") : usage.index("## Settings of your site")]
    assert [name for name in profiles if not re.search(rf"^\|.*\b{name}\b", table, re.MULTILINE)] == []  # fmt: skip


def test_scripts_can_be_executed():
    for script in (ROOT / "bin").glob("*.py"):
        assert script.stat().st_mode & 0o111, script
        assert script.read_text().startswith("#!/usr/bin/env python3\n"), script


def test_exceptions_are_not_files_that_exist():
    block = (ROOT / ".nf-core.yml").read_text().partition("files_exist:")[2]
    names = re.findall(r"^    - (\S+)", block.partition("files_unchanged")[0], re.MULTILINE)
    assert len(names) > 20
    assert [name for name in names if (ROOT / name).exists()] == []
