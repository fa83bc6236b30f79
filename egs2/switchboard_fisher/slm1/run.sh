#!/usr/bin/env bash
# Telephone conversations, 2,300 hours.   SWITCHBOARD=… FISHER=… EVAL2000=… ./run.sh (README.md)
# Any option of slm.sh can follow (./slm.sh --help).
set -euo pipefail
cd "$(dirname "$0")"

exec ./slm.sh \
    --foundation ../../../conf/foundation/hubert_xl_vicuna_7b.yaml \
    --train_set "train_switchboard train_fisher" \
    --valid_set "dev" \
    --test_sets "eval2000_switchboard eval2000_callhome" \
    --slm_config conf/train.yaml \
    --inference_config conf/decode.yaml \
    "$@"
