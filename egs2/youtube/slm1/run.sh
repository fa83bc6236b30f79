#!/usr/bin/env bash
# Your recordings with .vtt or .srt captions.   YOUTUBE=/corpora/videos ./run.sh
# Any option of slm.sh can follow (./slm.sh --help); those of the data: --local_data_opts "--subset 100 --language de".
set -euo pipefail
cd "$(dirname "$0")"

exec ./slm.sh \
    --foundation ../../../conf/foundation/mini.yaml \
    --train_set train \
    --valid_set dev \
    --test_sets test \
    --slm_config conf/train.yaml \
    --inference_config conf/decode.yaml \
    "$@"
