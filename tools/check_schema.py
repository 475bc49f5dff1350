"""Check that nextflow_schema.json, nextflow.config and --help have the same parameters.

usage: check_schema.py NEXTFLOW
"""

import json
import subprocess
import sys
from pathlib import Path

COMPUTED = {"trace_report_suffix"}  # its default is the time of the start
PROJECT = Path(__file__).resolve().parents[1]


def config_parameters(nextflow: str) -> dict[str, str]:
    """Return parameter name -> default, as text, from the resolved configuration."""
    flat = subprocess.run(
        [nextflow, "-q", "config", "-flat", str(PROJECT)],
        cwd=PROJECT, check=True, stdout=subprocess.PIPE, text=True,
    ).stdout  # fmt: skip
    lines = [line.split(" = ", 1) for line in flat.splitlines() if line.startswith("params.")]
    return {name.removeprefix("params."): value.strip("'") for name, value in lines}


def schema_parameters() -> dict[str, str]:
    """Return parameter name -> default, as text, from the schema."""
    schema = json.loads((PROJECT / "nextflow_schema.json").read_text())
    parameters = {}
    for group in schema["$defs"].values():
        for name, rule in group["properties"].items():
            default = rule.get("default")
            text = json.dumps(default).strip('"') if default is not None else "null"
            parameters[name] = text.replace("${projectDir}", str(PROJECT))
    return parameters


def main() -> int:
    """Return 0 when they agree."""
    nextflow = sys.argv[1]
    config, schema = config_parameters(nextflow), schema_parameters()
    faults = [f"{name}: only in nextflow.config" for name in config.keys() - schema.keys()]
    faults += [f"{name}: only in nextflow_schema.json" for name in schema.keys() - config.keys()]
    faults += [
        f"{name}: default is {config[name]} in nextflow.config, {schema[name]} in the schema"
        for name in config.keys() & schema.keys()
        if config[name] != schema[name] and name not in COMPUTED
    ]
    help_text = subprocess.run(
        [nextflow, "-q", "run", str(PROJECT), "--help_full"],
        cwd=PROJECT, check=True, stdout=subprocess.PIPE, text=True,
    ).stdout  # fmt: skip
    faults += [f"{name}: not in --help_full" for name in schema if f"--{name} " not in help_text]
    for fault in sorted(faults):
        print(fault, file=sys.stderr)
    print(f"parameters: {len(schema)} in schema, configuration and help, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
