#!/usr/bin/env bash
# Stage 1: your recordings and their table. Options are those of prepare.py (local/prepare.py --help).
# shellcheck source-path=SCRIPTDIR/..
set -euo pipefail

. ./path.sh
. ./db.sh
python3 local/prepare.py --corpus "${OWN_DATA}" "$@"
