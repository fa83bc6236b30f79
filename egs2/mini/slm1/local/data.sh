#!/usr/bin/env bash
# Stage 1 of the mini recipe: sentences with known meaning, spoken by synthetic voices; see prepare.py.
#   --datadir   where the data directories go
#   --dumpdir   where the recordings go (audio/ in it)
#   --nj        processes that synthesize
#   --train, --train_spanish, --dev, --test, --names   numbers of sentences
#   --train_rows   tasks that the training data has rows of
#   --seed      of voices, noise and wordings
set -euo pipefail

datadir=data
dumpdir=dump
nj=2
train=7000
train_spanish=2000
dev=150
test=250
names=200
train_rows="asr ast"
seed=1

. ./path.sh
. utils/parse_options.sh

export PYTHONPATH="${MAIN_ROOT}/egs2/mini:${PYTHONPATH:-}" # the folder that holds mini_corpus
python3 local/prepare.py --data_dir "${datadir}" --audio_dir "${dumpdir}/audio" --tasks_config conf/tasks.yaml \
    --train "${train}" --train_spanish "${train_spanish}" --train_rows "${train_rows}" \
    --dev "${dev}" --test "${test}" --names "${names}" --seed "${seed}" --nj "${nj}"
