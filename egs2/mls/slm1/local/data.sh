#!/usr/bin/env bash
# Stage 1: MLS as data directories. Options are those of prepare.py (python3 local/prepare.py --help).
# shellcheck source-path=SCRIPTDIR/..
set -euo pipefail

. ./path.sh
. ./db.sh
python3 local/prepare.py --corpus "${MLS}" "$@"
