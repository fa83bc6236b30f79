#!/usr/bin/env bash
# Check data directories: utils/validate_data_dir.sh [options] data/train ... (--help lists the options)
set -euo pipefail
top=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
PYTHONPATH=${top}${PYTHONPATH:+:${PYTHONPATH}} exec "${PYTHON:-python3}" -m slm_espnet.bin.check_data "$@"
