#!/usr/bin/env bash
# Print each program that `make setup` needs and this machine lacks, and how to get it on Debian.
set -uo pipefail
missing=0
lacks() { echo "missing: $1. Get it: $2" >&2; missing=1; }

python=${PYTHON:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
    lacks "Python 3.10 or newer ($python)" "apt-get install python3, or PYTHON=/path/to/python3 make ..."
elif ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
    lacks "the venv module of $python" "apt-get install python3-venv"
fi

java=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p')
[ "${java:-0}" -ge 17 ] || lacks "Java 17 or newer" "apt-get install default-jre-headless"

tools=$(dirname "$0")
if [ "$("$tools/find_nextflow.sh")" -ef "$tools/nextflow/nextflow" ] && ! command -v mvn >/dev/null &&
    [ ! -e "${NXF_RUNTIME:-$tools/nextflow/.runtime}/ok" ]; then
    lacks "nextflow (25.04 or newer) or Maven, which assembles it" "apt-get install maven"
fi
exit $missing
