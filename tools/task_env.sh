#!/usr/bin/env bash
# Sourced before every task, outside any container (beforeScript, conf/base.config).
#   VIRNUCPRO_DEVICE  none: a CPU process; auto, cpu or cuda: an embedding process
#   VIRNUCPRO_CACHE   folder for compiled GPU code; empty: one per user in the system's temporary folder
# Sets PATH, the cache folders of torch and triton, and CUDA_VISIBLE_DEVICES where it leases a GPU.
vnp_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
[ -d "$vnp_root/.venv/bin" ] && export PATH="$vnp_root/.venv/bin:$PATH"

if [ "$VIRNUCPRO_DEVICE" = auto ] || [ "$VIRNUCPRO_DEVICE" = cuda ]; then
    cache=${VIRNUCPRO_CACHE:-${TMPDIR:-/tmp}/virnucpro-$(id -un)}
    (umask 077 && mkdir -p "$cache") || { echo "cache_dir $cache: cannot be made. Give another --cache_dir." >&2; exit 73; }
    [ -w "$cache" ] || { echo "cache_dir $cache: is not writable. Give another --cache_dir." >&2; exit 73; }
    export TRITON_CACHE_DIR="$cache/triton" TORCHINDUCTOR_CACHE_DIR="$cache/inductor" VIRNUCPRO_CACHE="$cache"

    # Without a scheduler nobody hands out GPUs: lease one, so that two tasks never share it.
    if [ -z "${SLURM_JOB_ID:-}" ] && command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q '^GPU'; then
        GPU_LEASE_COUNT=1 . "$vnp_root/tools/gpu-lease.sh"
    fi
fi
