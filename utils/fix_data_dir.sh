#!/usr/bin/env bash
# Leave out what cannot be used and put tables in order, in place: utils/fix_data_dir.sh [options] data/train ...
set -euo pipefail
top=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
PYTHONPATH=${top}${PYTHONPATH:+:${PYTHONPATH}} exec "${PYTHON:-python3}" -m slm_espnet.bin.check_data --fix true "$@"
