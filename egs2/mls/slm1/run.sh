#!/usr/bin/env bash
# Multilingual LibriSpeech: read books in eight languages.   MLS=/corpora/mls ./run.sh
# Any option of slm.sh can follow (./slm.sh --help).
set -euo pipefail
cd "$(dirname "$0")"

exec ./slm.sh \
    --foundation ../../../conf/foundation/owsm_ctc_mt0_xxl.yaml \
    --train_set train \
    --valid_set dev \
    --test_sets test \
    --local_data_opts "--languages de,es,fr,it,nl,pl,pt" \
    --slm_config conf/train.yaml \
    --inference_config conf/decode.yaml \
    "$@"
