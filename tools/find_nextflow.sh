#!/usr/bin/env bash
# Print the nextflow to use: the one on PATH when it is 25.04 or newer, else tools/nextflow/nextflow.
set -euo pipefail
bundled=$(cd "$(dirname "$0")" && pwd)/nextflow/nextflow
on_path=$(command -v nextflow || true)
if [ -n "$on_path" ]; then
    version=$("$on_path" -v 2>/dev/null | sed -n 's/.*version \([0-9]*\)\.\([0-9]*\).*/\1\2/p')
    if [ "${version:-0}" -ge 2504 ]; then
        echo "$on_path"
        exit
    fi
fi
echo "$bundled"
