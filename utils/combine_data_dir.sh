#!/usr/bin/env bash
# The union of data directories: utils/combine_data_dir.sh target source1 source2 ...
set -euo pipefail
top=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
PYTHONPATH=${top}${PYTHONPATH:+:${PYTHONPATH}} exec "${PYTHON:-python3}" -m slm_espnet.data.tools combine "$@"
