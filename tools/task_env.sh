#!/usr/bin/env bash
# Sourced before every task, outside any container (beforeScript, conf/base.config).
#   VIRNUCPRO_DEVICE    none: a CPU process; auto, cpu or cuda: an embedding process
#   VIRNUCPRO_CACHE     folder for compiled GPU code; empty: one per user in the system's temporary folder
#   VIRNUCPRO_EXECUTOR  local: nobody else hands out GPUs
#   VIRNUCPRO_WEIGHTS   folder of weights that are not staged; empty: there is none
# Sets PATH, what Python reads, the cache folder of Triton, and CUDA_VISIBLE_DEVICES where it leases a GPU.
vnp_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PATH="$vnp_root/.venv/bin:$vnp_root/bin:$PATH" # Nextflow adds bin, too, but quotes it badly

# What the user's shell and modules say is for other programs. LD_LIBRARY_PATH stays: Python may need it.
unset LD_PRELOAD "${!PYTHON@}"
export PATH PYTHONPATH="$vnp_root/src" PYTHONNOUSERSITE=1 PYTHONUTF8=1 PYTHONDONTWRITEBYTECODE=1

# torch asks for a name and a home; a user id without an entry in /etc/passwd has neither
[ -n "${USER:-}" ] || USER=$(id -un 2>/dev/null) || USER=$(id -u)
export USER LOGNAME="${LOGNAME:-$USER}"
[ -w "${HOME:-}" ] || export HOME="${TMPDIR:-/tmp}"

# Nextflow does not quote * ? [a] {a,b} in the paths that it links
if declare -F nxf_stage >/dev/null; then
    eval "vnp_$(declare -f nxf_stage)"
    nxf_stage() { set -f +B; vnp_nxf_stage; set +f -B; }
fi

# Bound into a container where this node has it; else it lies inside the image.
[ -d "${VIRNUCPRO_WEIGHTS:-}" ] || VIRNUCPRO_WEIGHTS=

if [ "$VIRNUCPRO_DEVICE" = auto ] || [ "$VIRNUCPRO_DEVICE" = cuda ]; then
    cache=${VIRNUCPRO_CACHE:-${TMPDIR:-/tmp}/virnucpro-$(id -u)}
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
