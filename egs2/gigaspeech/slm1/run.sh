#!/usr/bin/env bash
# GigaSpeech: audiobooks, podcasts and videos, 10 to 10,000 hours.   GIGASPEECH=/corpora/GigaSpeech ./run.sh
# Any option of slm.sh can follow (./slm.sh --help).
set -euo pipefail
cd "$(dirname "$0")"

exec ./slm.sh \
    --foundation ../../../conf/foundation/hubert_xl_vicuna_7b.yaml \
    --train_set "train_M" \
    --valid_set "dev" \
    --test_sets "dev test" \
    --slm_config conf/train.yaml \
    --inference_config conf/decode.yaml \
    "$@"
