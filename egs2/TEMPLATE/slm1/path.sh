#!/usr/bin/env bash
# To be sourced: finds the toolkit and its Python, which is the active environment, or else venv/ of the toolkit.
MAIN_ROOT=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../../.." && pwd)
export MAIN_ROOT

if [ -z "${VIRTUAL_ENV:-}" ] && [ -f "${MAIN_ROOT}/venv/bin/activate" ]; then
    # shellcheck disable=SC1091  # made by `make install`
    . "${MAIN_ROOT}/venv/bin/activate"
fi
export PYTHONPATH="${MAIN_ROOT}${PYTHONPATH:+:${PYTHONPATH}}"
export PYTHONIOENCODING=UTF-8 LC_ALL=C.UTF-8 OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false

python3 - "${MAIN_ROOT}" <<'END' || return 1
import importlib.util
import sys

for name in ("slm_espnet", "numpy", "torch", "transformers", "espnet2"):
    if importlib.util.find_spec(name) is None:
        cure = f"run `make install` in {sys.argv[1]}, or activate your environment"
        sys.exit(f"error: {sys.executable} has no {name}: {cure}")
END
