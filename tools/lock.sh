#!/usr/bin/env bash
# Rewrite the locked requirement files. The largest is resolved first; the images take its versions.
set -euo pipefail
cd "$(dirname "$0")/.."
lock() { uv pip compile --quiet --no-header --universal --python-version 3.10 "$@"; }
lock requirements-dev.in -o requirements-dev.txt
lock containers/gpu/requirements.in -c requirements-dev.txt -o containers/gpu/requirements.txt
lock containers/cpu/requirements.in -c requirements-dev.txt -o containers/cpu/requirements.txt
lock tools/audit/requirements.in -o tools/audit/requirements.txt
