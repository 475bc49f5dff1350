#!/usr/bin/env bash
# Sourced before every task, outside any container (beforeScript, conf/base.config).
#   VIRNUCPRO_DEVICE    none: a CPU process; auto, cpu or cuda: an embedding process
#   VIRNUCPRO_CACHE     folder for compiled GPU code; empty: one per user in the system's temporary folder
#   VIRNUCPRO_EXECUTOR  local: nobody else hands out GPUs
#   VIRNUCPRO_WEIGHTS   folder of weights that are not staged; empty: there is none
#   VIRNUCPRO_CHECKPOINTS  folder for the parts of unfinished embedding tasks; empty, false or an address: no parts
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

# Nextflow's wrapper, told to stop, tells the task and ends at once; a scheduler then kills what is left. So it
# waits for what the task still saves, as long as a scheduler usually waits before it kills (30 s). Before there
# is a task it would not end at all.
if declare -F on_term >/dev/null; then
    eval "vnp_$(declare -f on_term)"
    vnp_descendants() { local child; for child in $(ps -e -o ppid= -o pid= | awk -v parent="$1" '$1 == parent { print $2 }'); do echo "$child"; vnp_descendants "$child"; done; }
    on_term() {
        set +e
        [ -n "${pid:-}" ] || exit 143
        local tasks i
        tasks=$(vnp_descendants "$pid" | paste -sd,)
        vnp_on_term
        for i in {1..125}; do
            ps -o stat= -p "${tasks:-0}" | grep -q '^[^Z]' || break
            sleep 0.2
        done
    }
    trap on_term USR1
fi

# Bound into a container where this node has it; else it lies inside the image.
[ -d "${VIRNUCPRO_WEIGHTS:-}" ] || VIRNUCPRO_WEIGHTS=

# Bound into a container, so it must be there.
case ${VIRNUCPRO_CHECKPOINTS:-} in
'' | false | *://*) VIRNUCPRO_CHECKPOINTS= ;; # main.nf has warned of object storage
*)
    (umask 077 && mkdir -p "$VIRNUCPRO_CHECKPOINTS") 2>/dev/null && [ -w "$VIRNUCPRO_CHECKPOINTS" ] || {
        echo "checkpoint_dir $VIRNUCPRO_CHECKPOINTS: is not writable: continuing without checkpoints" >&2
        VIRNUCPRO_CHECKPOINTS=
    }
    ;;
esac
export VIRNUCPRO_CHECKPOINTS

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
