#!/usr/bin/env bash
# Stage 1: Schema-Guided Dialogue with spoken user turns. Options are those of prepare.py (local/prepare.py --help).
# shellcheck source-path=SCRIPTDIR/..
set -euo pipefail

. ./path.sh
. ./db.sh
python3 local/prepare.py --corpus "${SGD}" --tts_command "${TTS_COMMAND}" "$@"
