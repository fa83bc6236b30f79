#!/usr/bin/env bash
# The speech encoder of the mini corpus, from nothing: synthetic speech (and real speech, where given), an ESPnet CTC
# model trained on it, and its export as a foundation that SLM recipes freeze.
#
#   ./run.sh --stage 1 --stop_stage 3 --an4 /path/to/an4
#   ./run.sh --stage 3                      # export and evaluate a finished training again
set -euo pipefail
cd "$(dirname "$0")"

stage=1                 # first stage: 1 data, 2 training, 3 export and evaluation
stop_stage=3            # last stage
nj=2                    # processes that synthesize speech
english=60000           # synthetic English training utterances
spanish=14000           # synthetic Spanish training utterances
an4=                    # folder of AN4 (optional)
kathleen=               # folder of the Kathleen voice (optional)
lj=                     # folder of LJ Speech utterances (optional)
datadir=data            # Kaldi data directories
dumpdir=dump            # recordings
expdir=exp/encoder      # checkpoints and logs
ngpu=0                  # GPUs of the training
asr_config=conf/train.yaml  # training
asr_args=               # more options for the training, for example "--max_epoch 2"
inference_model=valid.loss.ave.pth      # which weights of expdir become the foundation
foundation=../foundations/encoder       # where the export goes

usage() {
    echo "usage: $0 [--option value]..."
    sed -n '/^stage=/,/^foundation=/s/^\([a-z_0-9]*\)=/  --\1 /p' "$0"
}

while [ $# -gt 0 ]; do
    case "$1" in
        -h | --help) usage; exit 0 ;;
        --stage | --stop_stage | --nj | --english | --spanish | --an4 | --kathleen | --lj | --datadir | --dumpdir \
            | --expdir | --ngpu | --asr_config | --asr_args | --inference_model | --foundation)
            [ $# -ge 2 ] || { echo "error: $1 needs a value" >&2; exit 2; }
            declare "${1#--}=$2"
            shift 2
            ;;
        *) echo "error: unknown option $1" >&2; usage >&2; exit 2 ;;
    esac
done

# shellcheck disable=SC1091  # lies beside this file
. ./path.sh
. ../../../utils/end_children.sh

if [ "${stage}" -le 1 ] && [ "${stop_stage}" -ge 1 ]; then
    echo "Stage 1: data"
    options=(--data_dir "${datadir}" --audio_dir "${dumpdir}/audio" --nj "${nj}" --english "${english}" --spanish "${spanish}")
    [ -z "${an4}" ] || options+=(--an4 "${an4}")
    [ -z "${kathleen}" ] || options+=(--kathleen "${kathleen}")
    [ -z "${lj}" ] || options+=(--lj "${lj}")
    run python3 local/prepare.py "${options[@]}"
fi

if [ "${stage}" -le 2 ] && [ "${stop_stage}" -ge 2 ]; then
    echo "Stage 2: training, logs ${expdir}/first/train.log, ${expdir}/train.log"
    # cycle OUTPUT_DIR OPTIONS: one rise and fall of the learning rate.
    cycle() {
        local output=$1
        shift
        mkdir -p "${output}"
        # shellcheck disable=SC2086  # asr_args is several words
        run python3 -m slm_espnet.bin.asr_train \
            --config "${asr_config}" --output_dir "${output}" --resume true --ngpu "${ngpu}" \
            --use_preprocessor true --token_list "${datadir}/tokens.txt" \
            --train_data_path_and_name_and_type "${datadir}/train/wav.scp,speech,sound" \
            --train_data_path_and_name_and_type "${datadir}/train/text,text,text" \
            --train_shape_file "${datadir}/train/utt2num_samples" \
            --valid_data_path_and_name_and_type "${datadir}/dev/wav.scp,speech,sound" \
            --valid_data_path_and_name_and_type "${datadir}/dev/text,text,text" \
            --valid_shape_file "${datadir}/dev/utt2num_samples" \
            "$@" ${asr_args} >>"${output}/train.log" 2>&1
    }
    cycle "${expdir}/first"
    # A second, lower cycle from the average of the first.
    cycle "${expdir}" --init_param "${expdir}/first/valid.loss.ave.pth" --seed 2 --max_epoch 10 \
        --optim_conf lr=0.001 --scheduler_conf max_lr=0.001 --scheduler_conf total_steps=5001
fi

if [ "${stage}" -le 3 ] && [ "${stop_stage}" -ge 3 ]; then
    echo "Stage 3: export to ${foundation} and evaluation"
    run python3 local/export.py --expdir "${expdir}" --inference_model "${inference_model}" --out_dir "${foundation}"
    run python3 local/evaluate.py --model_dir "${foundation}" --data_dir "${datadir}" \
        --results "${expdir}/results.json"
    run python3 local/card.py --model_dir "${foundation}" --results "${expdir}/results.json" --expdir "${expdir}" \
        --data_dir "${datadir}"
fi
