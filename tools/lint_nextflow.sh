#!/usr/bin/env bash
# `nextflow lint` over everything; a warning does not fail it. usage: lint_nextflow.sh NEXTFLOW
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v javac >/dev/null; then
    # without it our assembled Nextflow lacks the patch that its lint needs (tools/nextflow/LazyErrorCollector.java)
    echo "nextflow lint: skipped, there is no javac (apt-get install default-jdk-headless)" >&2
    exit
fi
"$1" lint -o concise main.nf nextflow.config conf modules workflows
