#!/usr/bin/env bash
# Broadcast news (HUB4 1997), 97 hours.   BROADCAST_NEWS=/corpora/hub4 ./run.sh
# Any option of slm.sh can follow (./slm.sh --help).
set -euo pipefail
cd "$(dirname "$0")"

exec ./slm.sh \
    --foundation ../../../conf/foundation/hubert_xl_vicuna_7b.yaml \
    --train_set "train" \
    --valid_set "dev" \
    --test_sets "dev test" \
    --slm_config conf/train.yaml \
    --inference_config conf/decode.yaml \
    "$@"
