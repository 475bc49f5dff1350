"""Write the table of options into docs/usage.md, from nextflow_schema.json."""

import json
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
USAGE = PROJECT / "docs" / "usage.md"
START, END = "<!-- options: written by tools/write_usage_options.py -->\n", "<!-- end -->"


def options_table(schema: dict[str, Any]) -> str:
    """Return a table for each group of parameters."""
    lines = []
    for group in schema["$defs"].values():
        lines += [f"### {group['title']}", "", "| option | |", "|---|---|"]
        lines += [option_row(name, rule) for name, rule in group["properties"].items()] + [""]
    return "\n".join(lines)


def option_row(name: str, rule: dict[str, Any]) -> str:
    """Return the row of a parameter: description, values, default."""
    text = rule["description"].rstrip(".").replace("<", "&lt;") + "."
    if "enum" in rule:
        text += f" One of {', '.join(rule['enum'])}."
    if rule.get("default"):
        text += f" [{rule['default']}]".replace("${projectDir}/", "")
    return f"| `--{name}` | {text} |"


def main() -> None:
    """Replace what is between the two marks."""
    before, _, rest = USAGE.read_text().partition(START)
    after = rest.partition(END)[2]
    schema = json.loads((PROJECT / "nextflow_schema.json").read_text())
    USAGE.write_text(before + START + options_table(schema) + END + after)


if __name__ == "__main__":
    main()
