#!/usr/bin/env bash
# AN4: real recordings of spelled words, numbers and commands, on the foundations of the mini recipe.
#
#   AN4=/corpora/an4 ./run.sh     # without AN4= (here or in db.sh) the corpus is fetched
#
# Any option of slm.sh can follow (./slm.sh --help).
set -euo pipefail
cd "$(dirname "$0")"

exec ./slm.sh \
    --foundation ../../../conf/foundation/mini.yaml \
    --train_set train_nodev \
    --valid_set train_dev \
    --test_sets test \
    --slm_config conf/train.yaml \
    --inference_config conf/decode.yaml \
    "$@"
