#!/usr/bin/env bash
# Tests through Slurm:
#   tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [arguments of test.py]
# GPUS (default 8) processes, GPUS_PER_NODE (8) on a machine, CPUS_PER_TASK (5) each; SRUN_ARGS are
# passed to srun.
set -euo pipefail
if [ $# -lt 4 ]; then
    sed -n '2,5s/^# //p' "$0" >&2
    exit 2
fi
partition=$1 job_name=$2
shift 2
# yapf, which mmengine imports, writes a file at its first import: processes that start together would read half of it
"${PYTHON:-python}" -c 'import yapf.yapflib.yapf_api'
export MASTER_PORT=${MASTER_PORT:-$((12000 + RANDOM % 20000))}
# shellcheck disable=SC2086  # SRUN_ARGS is a list of words
exec srun -p "$partition" --job-name="$job_name" \
    --gres="gpu:${GPUS_PER_NODE:-8}" --ntasks="${GPUS:-8}" \
    --ntasks-per-node="${GPUS_PER_NODE:-8}" --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
    "${PYTHON:-python}" -u "$(dirname "${BASH_SOURCE[0]}")/test.py" "$@" --launcher slurm
