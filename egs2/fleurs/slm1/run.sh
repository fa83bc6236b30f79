#!/usr/bin/env bash
# FLEURS: the same sentences in 102 languages, recognized and translated.   FLEURS=/corpora/fleurs ./run.sh
# Any option of slm.sh can follow (./slm.sh --help).
set -euo pipefail
cd "$(dirname "$0")"

exec ./slm.sh \
    --foundation ../../../conf/foundation/owsm_ctc_mt0_xxl.yaml \
    --train_set train \
    --valid_set dev \
    --test_sets test \
    --local_data_opts "--languages all --directions all:en_us" \
    --slm_config conf/train.yaml \
    --inference_config conf/decode.yaml \
    "$@"
