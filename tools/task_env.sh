#!/usr/bin/env bash
# Sourced before every task, outside any container (beforeScript, conf/base.config).
#   VIRNUCPRO_DEVICE    none: a CPU process; auto, cpu or cuda: an embedding process
#   VIRNUCPRO_CACHE     folder for compiled GPU code; empty: one per user in the system's temporary folder
#   VIRNUCPRO_EXECUTOR  local: nobody else hands out GPUs
#   VIRNUCPRO_WEIGHTS   folder of weights that are not staged; empty: there is none
# Sets PATH, the cache folder of Triton, and CUDA_VISIBLE_DEVICES where it leases a GPU.
vnp_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
[ -d "$vnp_root/.venv/bin" ] && export PATH="$vnp_root/.venv/bin:$PATH"

# Bound into a container where this node has it; else it lies inside the image.
[ -d "${VIRNUCPRO_WEIGHTS:-}" ] || VIRNUCPRO_WEIGHTS=

if [ "$VIRNUCPRO_DEVICE" = auto ] || [ "$VIRNUCPRO_DEVICE" = cuda ]; then
    cache=${VIRNUCPRO_CACHE:-${TMPDIR:-/tmp}/virnucpro-$(id -un)}
    (umask 077 && mkdir -p "$cache") || { echo "cache_dir $cache: cannot be made. Give another --cache_dir." >&2; exit 73; }
    # Compiled code is run: it must be nobody else's.
    [ -w "$cache" ] && [ -O "$cache" ] || { echo "cache_dir $cache: is not yours to write. Give another --cache_dir." >&2; exit 73; }
    export TRITON_CACHE_DIR="$cache/triton" VIRNUCPRO_CACHE="$cache"

    # Lease a GPU, so that two tasks never share it; also inside a job of several GPUs that runs all of Nextflow.
    # Device auto with an empty CUDA_VISIBLE_DEVICES means: no GPU.
    if [ "${VIRNUCPRO_EXECUTOR:-local}" = local ] && ! { [ "$VIRNUCPRO_DEVICE" = auto ] && [ -z "${CUDA_VISIBLE_DEVICES-unset}" ]; } &&
        command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q '^GPU'; then
        . "$vnp_root/tools/gpu-lease.sh"
    fi
fi
