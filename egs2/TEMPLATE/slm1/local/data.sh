#!/usr/bin/env bash
# Stage 1: make data/train, data/dev and data/test. An example, to be replaced: from a folder with a table of recordings
# (MY_CORPUS, here or in db.sh). Options are those of prepare.py (python3 local/prepare.py --help).
# shellcheck source-path=SCRIPTDIR/..
set -euo pipefail

. ./path.sh
. ./db.sh
python3 local/prepare.py --corpus "${MY_CORPUS:-downloads}" "$@"
