#!/usr/bin/env bash
# Wall Street Journal: read news, 80 hours.   WSJ0=/corpora/LDC93S6A WSJ1=/corpora/LDC94S13A ./run.sh
# Any option of slm.sh can follow (./slm.sh --help).
set -euo pipefail
cd "$(dirname "$0")"

exec ./slm.sh \
    --foundation ../../../conf/foundation/hubert_xl_vicuna_7b.yaml \
    --train_set "train_si284" \
    --valid_set "test_dev93" \
    --test_sets "test_dev93 test_eval92 test_eval93" \
    --slm_config conf/train.yaml \
    --inference_config conf/decode.yaml \
    "$@"
