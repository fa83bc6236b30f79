#!/usr/bin/env bash
# Some rows of a data directory:
#   utils/subset_data_dir.sh [--tasks asr,ast] [--utt_list FILE] [--first N|--last N|--random N] source target
set -euo pipefail
top=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
PYTHONPATH=${top}${PYTHONPATH:+:${PYTHONPATH}} exec "${PYTHON:-python3}" -m slm_espnet.data.tools subset "$@"
