#!/usr/bin/env bash
# AMI: meetings, 100 hours, close and distant microphones.   AMI=/corpora/amicorpus ./run.sh
# Any option of slm.sh can follow (./slm.sh --help).
set -euo pipefail
cd "$(dirname "$0")"

exec ./slm.sh \
    --foundation ../../../conf/foundation/hubert_xl_vicuna_7b.yaml \
    --train_set "train_ihm train_sdm" \
    --valid_set "dev_ihm" \
    --test_sets "dev_ihm test_ihm dev_sdm test_sdm" \
    --slm_config conf/train.yaml \
    --inference_config conf/decode.yaml \
    "$@"
