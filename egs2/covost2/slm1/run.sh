#!/usr/bin/env bash
# CoVoST 2: translation of read speech.   COVOST2=/corpora/covost2 COMMONVOICE4=/corpora/cv-corpus-4-2019-12-10 ./run.sh
# Any option of slm.sh can follow (./slm.sh --help).
set -euo pipefail
cd "$(dirname "$0")"

exec ./slm.sh \
    --foundation ../../../conf/foundation/owsm_ctc_mt0_xxl.yaml \
    --train_set train \
    --valid_set dev \
    --test_sets test \
    --local_data_opts "--directions x_en --tasks asr,ast" \
    --slm_config conf/train.yaml \
    --inference_config conf/decode.yaml \
    "$@"
