"""tools/audit.py does not take a package for harmless that nobody was asked about."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

AUDIT = Path(__file__).parents[2] / "tools/audit.py"
HARMLESS = {"name": "a", "version": "1", "vulns": []}
KNOWN = {"name": "b", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1"]}]}
SKIPPED = {"name": "c", "skip_reason": "Dependency not found"}


def audit(folder: Path, answers: dict[str, list[dict] | str]) -> subprocess.CompletedProcess[str]:
    """Run with a pip-audit that gives these answers, or writes a text to stderr, by service."""
    for service, answer in answers.items():
        text = answer if isinstance(answer, str) else json.dumps({"dependencies": answer})
        (folder / service).write_text(text)
    script = f'#!/bin/sh\nfor w; do [ -f "{folder}/$w" ] && cat "{folder}/$w"; done\nexit 0\n'
    for name, content in (("pip-audit", script), ("cyclonedx-py", "#!/bin/sh\n")):
        (folder / name).write_text(content)
        (folder / name).chmod(0o755)
    return subprocess.run(
        [sys.executable, AUDIT, folder, folder / "out", folder / "cpu/requirements.txt"],
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    "answers, status, words",
    [
        ({"pypi": [HARMLESS]}, 0, "1 packages, 0 known vulnerabilities"),
        ({"pypi": [HARMLESS, KNOWN]}, 1, "b 2: PYSEC-1, fixed in 2.1"),
        ({"pypi": [HARMLESS, SKIPPED], "osv": "no network"}, 69, "NOT AUDITED"),
        ({"pypi": "no network", "osv": [KNOWN]}, 1, "b 2: PYSEC-1"),
        ({"pypi": "no network", "osv": [SKIPPED]}, 69, "NOT AUDITED"),
    ],
)
def test_the_exit_status_tells_known_from_unknown(tmp_path, answers, status, words):
    done = audit(tmp_path, answers)
    assert (done.returncode, words in done.stdout) == (status, True), done
