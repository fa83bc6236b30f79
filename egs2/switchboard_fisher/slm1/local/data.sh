#!/usr/bin/env bash
# Stage 1: Switchboard, Fisher and HUB5 2000 as data directories. Options are those of prepare.py (python3 local/prepare.py --help).
# shellcheck source-path=SCRIPTDIR/..
set -euo pipefail

. ./path.sh
. ./db.sh
python3 local/prepare.py --corpus "${SWITCHBOARD}" --fisher "${FISHER}" --eval2000 "${EVAL2000}" "$@"
