#!/usr/bin/env bash
# Tests on N processes, one per GPU, or on CPUs where there is no GPU:
#   tools/dist_test.sh CONFIG CHECKPOINT N [arguments of test.py]
# Several machines: run it on each with NNODES, NODE_RANK, MASTER_ADDR and PORT set.
set -euo pipefail
if [ $# -lt 3 ]; then
    sed -n '2,4s/^# //p' "$0" >&2
    exit 2
fi
config=$1 checkpoint=$2 processes=$3
shift 3
# yapf, which mmengine imports, writes a file at its first import: processes that start together would read half of it
"${PYTHON:-python}" -c 'import yapf.yapflib.yapf_api'
exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
    --nproc_per_node="$processes" \
    "$(dirname "${BASH_SOURCE[0]}")/test.py" "$config" "$checkpoint" --launcher pytorch "$@"
