#!/usr/bin/env bash
# Stage 1: make data/train, data/dev and data/test. An example, to be replaced: from a table of recordings.
#
# The table has tab-separated lines: set, utterance id, path of the recording, language, speaker, words.
# shellcheck source-path=SCRIPTDIR/..
set -euo pipefail

datadir=data                # where the data directories go (slm.sh gives it)
dumpdir=dump                # where audio may be written that has to be made or converted (slm.sh gives it)
table=downloads/table.tsv   # the table of recordings

. utils/parse_options.sh
. ./path.sh

mkdir -p "${dumpdir}"
python3 local/prepare.py --table "${table}" --data_dir "${datadir}"
