#!/usr/bin/env bash
# Stage 1 of the AN4 recipe: data directories train_nodev, train_dev and test; see prepare.py. AN4= in db.sh (or in the
# environment) names the corpus; where it is empty the corpus is fetched into downloads.
#   --datadir        where the data directories go
#   --dumpdir        where varied copies of the training recordings go (audio/ in it)
#   --known_copies   copies of the speakers that the speech encoder was trained on
#   --new_copies     copies of the others
#   --noise_share    share of the copies that noise is added to
#   --seed           of speeds, levels and noise
set -euo pipefail

datadir=data
dumpdir=dump
known_copies=2
new_copies=5
noise_share=0.6
seed=1

. ./path.sh
. ./db.sh
. utils/parse_options.sh

mini=${MAIN_ROOT}/egs2/mini  # noise is made as for the encoder's training
export PYTHONPATH="${mini}:${PYTHONPATH:-}"
corpus=${AN4:-}
if [ -z "${corpus}" ] || [ "${corpus}" = downloads ]; then
    corpus=$(python3 local/download.py downloads)
fi
python3 local/prepare.py --an4 "${corpus}" --data_dir "${datadir}" --audio_dir "${dumpdir}/audio" \
    --tasks_config conf/tasks.yaml --encoder_speakers "${mini}/asr1/local/an4_encoder_speakers.txt" \
    --known_copies "${known_copies}" --new_copies "${new_copies}" --noise_share "${noise_share}" --seed "${seed}"
