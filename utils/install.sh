#!/usr/bin/env bash
# Install everything into a virtual environment; does nothing when that was done already.
#   utils/install.sh [VENV]        (default: venv)
# PYTHON names the interpreter to build it with: a name, a path or a version such as 3.12. Without it an environment that
# is there keeps its own, and a new one gets the newest supported Python of PATH, pyenv, uv or conda. pip's own settings
# and environment variables hold: a machine without GPU that knows a CPU wheel of torch gets that one.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=${1:-${top}/venv}
supported=(3.13 3.12 3.11)  # as requires-python in pyproject.toml, newest first

fail() { echo "error: $*" >&2; exit 2; }

version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

is_supported() { # is_supported PYTHON
  local version
  version=$(version_of "$1") && [[ " ${supported[*]} " == *" ${version} "* ]]
}

has_venv() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }

candidates() { # candidates VERSION: interpreters of that version that may be there, one a line
  echo "python$1"
  compgen -G "${PYENV_ROOT:-${HOME}/.pyenv}/versions/$1.*/bin/python" || true
  compgen -G "${UV_PYTHON_INSTALL_DIR:-${XDG_DATA_HOME:-${HOME}/.local/share}/uv/python}/cpython-$1.*/bin/python3" || true
  echo "/usr/bin/python$1"
  local conda=${CONDA_EXE:-$(command -v conda || true)}
  [ -z "${conda}" ] || compgen -G "${conda%/*/conda}/envs/*/bin/python$1" || true
  [ -z "${conda}" ] || echo "${conda%/*/conda}/bin/python$1"
}

how_to_get() { # one line for each of the usual ways
  local newest=${supported[1]}  # what most systems carry
  echo "apt-get install python${newest} python${newest}-venv, dnf install python${newest}, brew install python@${newest}," \
    "uv python install ${newest}, or conda create -n slm python=${newest}"
}

find_python() {
  local candidate version said without_venv=
  if [ -n "${PYTHON:-}" ]; then
    candidate=${PYTHON}
    if [[ ${candidate} =~ ^3\.[0-9]+$ ]]; then
      for candidate in $(candidates "${PYTHON}"); do
        if is_supported "${candidate}"; then break; fi
      done
    fi
    said=$("${candidate}" --version 2>/dev/null | tail -n 1 || true)
    is_supported "${candidate}" ||
      fail "Python ${supported[2]} to ${supported[0]} is needed, and ${PYTHON} is ${said:-not found}; get one: $(how_to_get)"
    has_venv "${candidate}" ||
      fail "${candidate} has no venv module; install it (Debian, Ubuntu: apt-get install python$(version_of "${candidate}")-venv)"
    echo "${candidate}"
    return
  fi
  for version in "${supported[@]}"; do
    for candidate in $(candidates "${version}") python3 python; do
      [ "$(version_of "${candidate}")" = "${version}" ] || continue
      if has_venv "${candidate}"; then
        echo "${candidate}"
        return
      fi
      without_venv=${without_venv:-${version}}
    done
  done
  [ -z "${without_venv}" ] ||
    fail "Python ${without_venv} has no venv module; install it (Debian, Ubuntu: apt-get install python${without_venv}-venv)"
  fail "no Python ${supported[2]} to ${supported[0]} found; get one: $(how_to_get)"
}

fingerprint() {  # of all that decides what is installed, and of the place that the editable install points to
  cd "${top}" && { cat constraints.txt pyproject.toml utils/install.sh; pwd; } | sha256sum | cut -c 1-64
}

stamp=${venv}/installed
wanted=$(fingerprint)
here=$(version_of "${venv}/bin/python" || true)
python=
if [ -z "${here}" ] || { [ -n "${PYTHON:-}" ] && [ "${PYTHON}" != "${here}" ]; }; then
  python=$(find_python)
  [ "$(version_of "${python}")" = "${here}" ] || here=
fi
if [ -n "${here}" ] && [ -f "${stamp}" ] && [ "$(cat "${stamp}")" = "${wanted}" ]; then
  exit 0
fi

start=${SECONDS}
[ -n "${here}" ] || "${python}" -m venv --clear "${venv}"
echo "installing into ${venv}, $("${venv}/bin/python" --version 2>&1) (a few minutes)"
rm -f "${stamp}"
pip=("${venv}/bin/python" -m pip --disable-pip-version-check --quiet --quiet)  # errors only
constraints=${top}/constraints.txt
# torch brings what its build needs, of CUDA or not
"${pip[@]}" install --constraint "${constraints}" setuptools torch torchaudio
# All the rest has its version there. --no-deps: ESPnet 202511 would have pip replace torch and setuptools.
"${pip[@]}" install --no-deps --requirement "${constraints}"
# setuptools is in the environment already: no second, isolated one to build in
"${pip[@]}" install --no-build-isolation --no-deps --editable "${top}"
rm -f "${venv}"/lib/python3.*/site-packages/_slm_espnet_compat.{py,pth}  # what the toolkit put there up to 2026-11
"${venv}/bin/python" -c 'from slm_espnet import compat; compat.check_espnet()
compat.stand_in_for_torchaudio()
import espnet2, torchaudio, transformers' ||
  fail "the installation in ${venv} does not import; remove the folder and run again"
echo "${wanted}" > "${stamp}.tmp"
mv "${stamp}.tmp" "${stamp}"
echo "installed in $((SECONDS - start)) s"
