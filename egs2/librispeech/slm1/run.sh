#!/usr/bin/env bash
# LibriSpeech: read English speech, 960 hours.   LIBRISPEECH=/corpora/LibriSpeech ./run.sh
# Any option of slm.sh can follow (./slm.sh --help).
set -euo pipefail
cd "$(dirname "$0")"

tests="test_clean test_other"
for size in 100 500 1000 2000; do # contextual biasing: lists with so many distractors
    tests+=" test_clean_biasing${size} test_other_biasing${size}"
done

exec ./slm.sh \
    --foundation ../../../conf/foundation/hubert_xl_vicuna_7b.yaml \
    --train_set train \
    --valid_set dev \
    --test_sets "${tests}" \
    --train_tasks asr \
    --slm_config conf/train.yaml \
    --inference_config conf/decode.yaml \
    --biasing_dev_sets "dev_biasing100 dev_biasing1000" \
    "$@"
