#!/usr/bin/env bash
# Stage 1: Alpaca with spoken inputs or instructions. Options are those of prepare.py (local/prepare.py --help).
# shellcheck source-path=SCRIPTDIR/..
set -euo pipefail

. ./path.sh
. ./db.sh
python3 local/prepare.py --corpus "${ALPACA}" --tts_command "${TTS_COMMAND}" "$@"
