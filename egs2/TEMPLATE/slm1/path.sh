#!/usr/bin/env bash
# To be sourced: finds the toolkit and its Python, which is the active environment, or else venv/ of the toolkit, or the
# environment that the toolkit was installed into (as MAIN_ROOT lib/python3.…/site-packages/slm_espnet/share of it).
MAIN_ROOT=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../../.." && pwd)
export MAIN_ROOT

for environment in "${MAIN_ROOT}/venv" "${MAIN_ROOT%/lib/python3*}"; do
    if [ -z "${VIRTUAL_ENV:-}" ] && [ "${environment}" != "${MAIN_ROOT}" ] && [ -f "${environment}/bin/activate" ]; then
        # shellcheck disable=SC1091  # made by `make install`, or the user's own
        . "${environment}/bin/activate"
    fi
done
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
