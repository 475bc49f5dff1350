#!/usr/bin/env bash
# Run `nextflow lint` on all files; warnings do not fail it. usage: lint_nextflow.sh NEXTFLOW
set -euo pipefail
cd "$(dirname "$0")/.."
"$1" -v >/dev/null # assembles the bundled one at its first call
"$1" lint -o concise main.nf nextflow.config conf modules subworkflows workflows
