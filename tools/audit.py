#!/usr/bin/env python3
"""Write an SBOM of each image's locked requirements, and ask for known vulnerabilities of all.

    audit.py BIN OUT REQUIREMENTS...

BIN is the bin/ folder with pip-audit and cyclonedx-py. OUT gets NAME.cdx.json (CycloneDX, made
offline) and NAME.audit.json, NAME being the folder of the requirements. Exit status: 0 nothing is
known of any package, 1 something is, 69 a package could not be asked about.
"""

import json
import subprocess
import sys
from pathlib import Path

SERVICES = ("pypi", "osv")  # the second where the first does not answer for every package
EXIT_UNAVAILABLE = 69  # EX_UNAVAILABLE of sysexits.h


def write_sbom(tools: Path, requirements: Path, out: Path) -> None:
    """Write the CycloneDX file; equal requirements give equal bytes."""
    subprocess.run(
        [tools / "cyclonedx-py", "requirements", "--output-reproducible", "--short-PURLs",
         "--of", "JSON", "-o", out, requirements],
        check=True,
    )  # fmt: skip


def ask(tools: Path, requirements: Path, service: str) -> list[dict] | str:
    """Return what pip-audit says of each package, or why it says nothing.

    Its own exit status does not tell: 0 also when it has skipped a package, 1 also without network.
    """
    done = subprocess.run(
        [tools / "pip-audit", "--no-deps", "--disable-pip", "--progress-spinner", "off",
         "--format", "json", "--vulnerability-service", service, "-r", requirements],
        capture_output=True, text=True,
    )  # fmt: skip
    try:
        packages: list[dict] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        return (done.stderr.strip().splitlines() or ["no answer"])[-1][:300]
    skipped = [package for package in packages if "skip_reason" in package]
    if skipped:
        return f"{len(skipped)} of {len(packages)} packages: {skipped[0]['skip_reason']}"
    return packages


def audit(tools: Path, requirements: Path, out: Path) -> int:
    """Print the vulnerabilities of a requirements file; return an exit status."""
    for service in SERVICES:
        packages = ask(tools, requirements, service)
        if isinstance(packages, str):
            print(f"{requirements}: {service} could not be asked ({packages})", file=sys.stderr)
            continue
        out.write_text(json.dumps(packages, indent=2) + "\n")
        found = [(p["name"], p["version"], v) for p in packages for v in p["vulns"]]
        print(f"{requirements}: {len(packages)} packages, {len(found)} known vulnerabilities")
        for name, version, vulnerability in found:
            fixed = ", ".join(vulnerability.get("fix_versions", [])) or "no version yet"
            print(f"  {name} {version}: {vulnerability['id']}, fixed in {fixed}")
        return 1 if found else 0
    print(f"{requirements}: NOT AUDITED. Run again where the service can be reached.")
    return EXIT_UNAVAILABLE


def main(argv: list[str]) -> int:
    """Return the exit status; a vulnerability counts more than a service that does not answer."""
    tools, out, *files = map(Path, argv)
    out.mkdir(parents=True, exist_ok=True)
    statuses = set()
    for requirements in files:
        name = requirements.parent.name or "dev"
        write_sbom(tools, requirements, out / f"{name}.cdx.json")
        statuses.add(audit(tools, requirements, out / f"{name}.audit.json"))
    print(f"SBOMs are in {out}")
    return 1 if 1 in statuses else max(statuses, default=0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
