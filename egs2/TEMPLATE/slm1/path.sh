#!/usr/bin/env bash
# To be sourced: finds the toolkit and its Python, which is the active environment, or else venv/ of the toolkit, or else
# the environment that the toolkit is installed in.
MAIN_ROOT=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../../.." && pwd)
export MAIN_ROOT

if [ -z "${VIRTUAL_ENV:-}" ] && [ -f "${MAIN_ROOT}/venv/bin/activate" ]; then
    # shellcheck disable=SC1091  # made by `make install`
    . "${MAIN_ROOT}/venv/bin/activate"
fi
case "${MAIN_ROOT}" in
    */lib/python3.*/site-packages/slm_espnet/recipes) # `slm-espnet recipe` made the folder
        if [ -z "${VIRTUAL_ENV:-}" ]; then export PATH="${MAIN_ROOT%/lib/python3.*}/bin:${PATH}"; fi
        ;;
    *) export PYTHONPATH="${MAIN_ROOT}${PYTHONPATH:+:${PYTHONPATH}}" ;;
esac
export PYTHONIOENCODING=UTF-8 LC_ALL=C.UTF-8 OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false

python3 - "${MAIN_ROOT}" <<'END' || return 1
import importlib.util
import sys

for name in ("slm_espnet", "numpy", "torch", "transformers", "espnet2"):
    if importlib.util.find_spec(name) is None:
        cure = f"run `make install` in {sys.argv[1]}, or activate the environment that slm_espnet is installed in"
        sys.exit(f"error: {sys.executable} has no {name}: {cure}")
END
