#!/usr/bin/env bash
# TED-LIUM 3: talks, 452 hours.   TEDLIUM3=/corpora/TEDLIUM_release-3 ./run.sh
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
