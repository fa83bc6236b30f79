#!/usr/bin/env bash
# Install everything into a virtual environment; does nothing when that was done already.
#   utils/install.sh [VENV]        (default: venv)
# PYTHON names the interpreter to build it with (default: python3.11, else python3). pip's own settings and environment
# variables hold: a machine without GPU that knows a CPU wheel of torch gets that one.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=${1:-${top}/venv}

fail() { echo "error: $*" >&2; exit 2; }

find_python() {
  local candidate candidates=(python3.11 /usr/bin/python3.11 python3)
  [ -z "${PYTHON:-}" ] || candidates=("${PYTHON}")
  for candidate in "${candidates[@]}"; do
    if "${candidate}" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
      echo "${candidate}"
      return
    fi
  done
  fail "Python 3.11 is needed, and ${candidate} is $("${candidate}" --version 2>&1 | tail -n 1);" \
    "install it (Debian, Ubuntu: apt-get install python3.11 python3.11-venv) or name it: make PYTHON=/path/to/python3.11"
}

fingerprint() {  # of all that decides what is installed, and of the place that the editable install points to
  cd "${top}" && { cat constraints.txt setup.py utils/install.sh slm_espnet/compat.py; pwd; } | sha256sum | cut -c 1-64
}

stamp=${venv}/installed
wanted=$(fingerprint)
if [ -f "${stamp}" ] && [ "$(cat "${stamp}")" = "${wanted}" ] && "${venv}/bin/python" -c '' 2>/dev/null; then
  exit 0
fi

python=$(find_python)
"${python}" -c 'import ensurepip, venv' 2>/dev/null ||
  fail "${python} has no venv module; install it (Debian, Ubuntu: apt-get install python3.11-venv)"

start=${SECONDS}
echo "installing into ${venv} (a few minutes)"
"${venv}/bin/python" -c '' 2>/dev/null || "${python}" -m venv --clear "${venv}"
rm -f "${stamp}"
pip=("${venv}/bin/python" -m pip --disable-pip-version-check --quiet --quiet)  # errors only
constraints=${top}/constraints.txt
"${pip[@]}" install --constraint "${constraints}" setuptools
# setuptools is in the environment already: no second, isolated one to build in
"${pip[@]}" install --no-build-isolation --constraint "${constraints}" --editable "${top}[demo,mini,test]"
"${pip[@]}" install --no-deps --constraint "${constraints}" espnet espnet_model_zoo
"${venv}/bin/python" - <<'PYTHON'
import sysconfig
from pathlib import Path

from slm_espnet import compat

compat.install(Path(sysconfig.get_path("purelib")))
compat.check_espnet()
PYTHON
"${venv}/bin/python" -c 'import espnet2, torchaudio, transformers' ||
  fail "the installation in ${venv} does not import; remove the folder and run again"
echo "${wanted}" > "${stamp}.tmp"
mv "${stamp}.tmp" "${stamp}"
echo "installed in $((SECONDS - start)) s"
