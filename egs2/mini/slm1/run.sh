#!/usr/bin/env bash
# The mini recipe: an adapter between two small shipped foundations, trained on recognition alone, tried on every task.
#
#   ./run.sh                                   # all stages, to exp/*/RESULTS.md
#   ./run.sh --slm_config conf/train_linear.yaml --seed 2       # any option of slm.sh (./slm.sh --help)
#   ./run.sh --train_foundations true          # makes both foundations anew first (hours)
#
# --asr1_opts and --lm1_opts are options for the foundations' own run.sh, such as "--an4 /corpora/an4".
set -euo pipefail
cd "$(dirname "$0")"

train_foundations=false
asr1_opts=
lm1_opts=
options=()
while [ $# -gt 0 ]; do
    case "$1" in
        --train_foundations | --asr1_opts | --lm1_opts)
            [ $# -ge 2 ] || { echo "error: run.sh: option $1 needs a value" >&2; exit 2; }
            declare "${1#--}=$2"
            shift 2
            ;;
        *)
            options+=("$1")
            shift
            ;;
    esac
done

if [ "${train_foundations}" = true ]; then
    . utils/end_children.sh
    # shellcheck disable=SC2086  # several options
    run ../asr1/run.sh ${asr1_opts}
    # shellcheck disable=SC2086
    run ../lm1/run.sh ${lm1_opts}
fi

exec ./slm.sh \
    --foundation ../../../conf/foundation/mini.yaml \
    --train_set train \
    --valid_set dev \
    --test_sets "test_clean test_snr10 test_snr5 test_snr0 test_es test_names test_names_100 test_names_1000 \
                 test_names_absent" \
    --train_tasks asr \
    --slm_config conf/train_asr.yaml \
    --train_num_threads 2 \
    --inference_config conf/decode.yaml \
    --biasing_dev_sets "dev_names dev_names_100 dev_names_1000" \
    "${options[@]}"
