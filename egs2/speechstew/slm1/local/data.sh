#!/usr/bin/env bash
# Stage 1: the data directories of the corpora that are mixed, each made by its own recipe, with its name before them:
# ami_train_ihm, wsj_test_eval92, ... Every corpus must be set in db.sh.
#   --datadir   where the data directories go
#   --dumpdir   where audio may go that has to be made
#   --corpora   which corpora, with commas between
#   --subset    only so many rows of each set; 0: all
#   --opts      more options for every corpus' data preparation, such as --opts=--max_failed=0.02
# shellcheck source-path=SCRIPTDIR/..
set -euo pipefail

datadir=data
dumpdir=dump
corpora=ami,broadcast_news,commonvoice,librispeech,switchboard_fisher,tedlium3,wsj
subset=0
opts=

. utils/parse_options.sh
. ./path.sh

mkdir -p "${datadir}" "${dumpdir}"
datadir=$(cd "${datadir}" && pwd)
dumpdir=$(cd "${dumpdir}" && pwd)
for corpus in ${corpora//,/ }; do
    [ -d "${MAIN_ROOT}/egs2/${corpus}/slm1" ] || { echo "error: data.sh: ${corpus} is no recipe (--corpora)" >&2; exit 2; }
    own=()
    case "${corpus}" in # what the mixture does not need of a corpus
        commonvoice) own=(--languages en) ;;
        librispeech) own=(--biasing_sizes "") ;;
    esac
    echo "${corpus}:"
    # shellcheck disable=SC2086  # several options
    (cd "${MAIN_ROOT}/egs2/${corpus}/slm1" && local/data.sh --datadir "${datadir}" --dumpdir "${dumpdir}" \
        --set_prefix "${corpus}_" --subset "${subset}" "${own[@]}" ${opts})
done
