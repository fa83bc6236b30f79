#!/usr/bin/env bash
# SpeechStew: one model on seven English corpora mixed (arXiv 2104.02133). Each corpus must be set in db.sh.
#
#   ./run.sh                                  # all seven
#   ./run.sh --corpora "ami tedlium3 wsj"     # some of them
#
# Any option of slm.sh can follow (./slm.sh --help).
set -euo pipefail
cd "$(dirname "$0")"

corpora="ami broadcast_news commonvoice librispeech switchboard_fisher tedlium3 wsj"
data_opts=
options=()
while [ $# -gt 0 ]; do
    case "$1" in
        --corpora)
            [ $# -ge 2 ] || { echo "error: run.sh: option $1 needs a value" >&2; exit 2; }
            corpora=$2
            shift 2
            ;;
        --local_data_opts)
            [ $# -ge 2 ] || { echo "error: run.sh: option $1 needs a value" >&2; exit 2; }
            data_opts=" $2"
            shift 2
            ;;
        *)
            options+=("$1")
            shift
            ;;
    esac
done

train='' valid='' tests=''
for corpus in ${corpora}; do
    names="train/dev/test"
    case "${corpus}" in
        ami) names="train_ihm train_sdm/dev_ihm/test_ihm test_sdm" ;;
        librispeech) names="train/dev/test_clean test_other" ;;
        switchboard_fisher) names="train_switchboard train_fisher/dev/eval2000_switchboard eval2000_callhome" ;;
        wsj) names="train_si284/test_dev93/test_eval92 test_eval93" ;;
        broadcast_news | commonvoice | tedlium3) ;;
        *) echo "error: run.sh: no corpus '${corpus}' (--corpora)" >&2; exit 2 ;;
    esac
    IFS=/ read -r of_train of_valid of_test <<<"${names}"
    for name in ${of_train}; do train+=" ${corpus}_${name}"; done
    for name in ${of_valid}; do valid+=" ${corpus}_${name}"; done
    for name in ${of_test}; do tests+=" ${corpus}_${name}"; done
done

exec ./slm.sh \
    --foundation ../../../conf/foundation/hubert_xl_vicuna_7b.yaml \
    --train_set "${train# }" \
    --valid_set "${valid# }" \
    --test_sets "${tests# }" \
    --local_data_opts "--corpora ${corpora// /,}${data_opts}" \
    --slm_config conf/train.yaml \
    --inference_config conf/decode.yaml \
    "${options[@]}"
