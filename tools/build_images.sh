#!/usr/bin/env bash
# Build virnucpro-cpu:VERSION and virnucpro-gpu:VERSION with podman or docker. usage: build_images.sh VERSION
#   BASE_IMAGE  base of both images (default: the Dockerfile's)
#   PIP_INDEX   Python package index (default: pip's own)
set -euo pipefail
cd "$(dirname "$0")/.."
if command -v podman >/dev/null; then
    builder=podman
elif docker info >/dev/null 2>&1; then # its client alone cannot build
    builder=docker
else
    echo "missing: podman, or docker with its service running. Get it: apt-get install podman" >&2
    exit 1
fi
arguments=()
[ -z "${BASE_IMAGE:-}" ] || arguments+=(--build-arg "BASE_IMAGE=$BASE_IMAGE")
[ -z "${PIP_INDEX:-}" ] || arguments+=(--build-arg "PIP_INDEX_URL=$PIP_INDEX")
for kind in cpu gpu; do
    "$builder" build "${arguments[@]}" -t "virnucpro-$kind:$1" -f "containers/$kind/Dockerfile" .
done
