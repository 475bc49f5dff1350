#!/usr/bin/env bash
# Run `nextflow lint` on all files; warnings do not fail it. usage: lint_nextflow.sh NEXTFLOW
set -euo pipefail
cd "$(dirname "$0")/.."
"$1" -v >/dev/null # assembles the bundled one at its first call
if [ "$1" -ef tools/nextflow/nextflow ] && [ ! -e "${NXF_RUNTIME:-tools/nextflow/.runtime}/patch.jar" ]; then
    # its lint needs a patch that only a JDK can make (tools/nextflow/LazyErrorCollector.java)
    echo "nextflow lint: skipped, there is no javac (apt-get install default-jdk-headless)" >&2
    exit
fi
"$1" lint -o concise main.nf nextflow.config conf modules subworkflows workflows
