#!/usr/bin/env bash
# Trains on N processes, one per GPU, or on CPUs where there is no GPU:
#   tools/dist_train.sh CONFIG N [arguments of train.py]
# Several machines: run it on each with NNODES, NODE_RANK, MASTER_ADDR and PORT set.
set -euo pipefail
if [ $# -lt 2 ]; then
    sed -n '2,4s/^# //p' "$0" >&2
    exit 2
fi
config=$1 processes=$2
shift 2
# yapf, which mmengine imports, writes a file at its first import: processes that start together would read half of it
"${PYTHON:-python}" -c 'import yapf.yapflib.yapf_api'
exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
    --nproc_per_node="$processes" \
    "$(dirname "${BASH_SOURCE[0]}")/train.py" "$config" --launcher pytorch "$@"
