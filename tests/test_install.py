"""The installer: refuses what it cannot use in one line, and does nothing the second time."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

SYSTEM_PYTHONS = [f"/usr/bin/python3.{minor}" for minor in (11, 12, 13)]


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
    for name in ("constraints.txt", "pyproject.toml", "utils/install.sh"):
        target = tmp_path / "copy" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((top / name).read_bytes())
        target.chmod((top / name).stat().st_mode)
    return tmp_path / "copy"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ('[ "$1" = --version ] && echo Python 3.10.4; [[ "$2" != *version_info* ]] || echo 3.10',
         "Python 3.11 to 3.13 is needed, and .* is Python 3.10.4; get one: apt-get .*dnf .*brew .*uv .*conda "),
        # right version, but `import ensurepip, venv` fails as without Debian's python3.12-venv
        ('case "$2" in *ensurepip*) exit 1 ;; *version_info*) echo 3.12 ;; esac',
         ".*has no venv module; install it .*python3.12-venv"),
    ],
)  # fmt: skip
def test_unusable_python_is_one_clear_line(copy, tmp_path, body, says):
    result = install(copy, tmp_path / "venv", PYTHON=script(tmp_path / "python", body))
    assert result.returncode == 2
    assert re.search(rf"^error: {says}[^\n]*\n$", result.stderr), result.stderr
    assert not (tmp_path / "venv").exists()


def fake_python(path: Path, log: Path, version: str = "3.12") -> str:
    """A python that makes environments of itself and writes down what pip is asked for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return script(
        path,
        f"""case "$*" in
          *version_info*) echo {version} ;;
          *"-m venv"*) mkdir -p "${{@: -1}}/bin" && cp "$0" "${{@: -1}}/bin/python" ;;
          *"-m pip"*) echo "$*" >> {log}; [ ! -e {log}.broken ] ;;
        esac""",
    )


def without_pythons(home: Path) -> dict[str, str]:
    """An environment whose PATH has what the installer needs and no Python."""
    tools = home / "tools"
    tools.mkdir(parents=True)
    for name in ("bash", "env", "cat", "cp", "mv", "rm", "mkdir", "tail", "cut", "sha256sum", "dirname"):
        (tools / name).symlink_to(shutil.which(name))
    places = {"PYENV_ROOT": "pyenv", "UV_PYTHON_INSTALL_DIR": "uv", "CONDA_EXE": "conda/bin/conda"}
    return {"PATH": str(tools), "HOME": str(home), "PYTHON": ""} | {k: str(home / v) for k, v in places.items()}


def version_in(venv: Path) -> str:
    return subprocess.run([str(venv / "bin/python"), "version_info"], capture_output=True, text=True).stdout.strip()


@pytest.mark.skipif(any(map(os.path.exists, SYSTEM_PYTHONS)), reason="the system has a supported Python")
def test_where_there_is_none_the_ways_to_get_one_are_named(copy, tmp_path):
    result = install(copy, tmp_path / "venv", **without_pythons(tmp_path / "home"))
    assert result.returncode == 2
    assert re.fullmatch(r"error: no Python 3.11 to 3.13 found; get one: apt-get .*conda create.*\n", result.stderr)


@pytest.mark.skipif(any(map(os.path.exists, SYSTEM_PYTHONS[1:])), reason="the system has one of these Pythons")
def test_newest_python_is_found_wherever_it_comes_from(copy, tmp_path):
    """PATH, pyenv, uv and conda; a link of PATH that does not run is passed over."""
    environment = without_pythons(tmp_path / "home")
    script(tmp_path / "home/tools/python3.13", "exit 127")  # pyenv's shim of a version that is not chosen
    for number, (place, version) in enumerate(
        [
            ("tools/python3", "3.12"),
            ("conda/envs/x/bin/python3.12", "3.12"),
            ("uv/cpython-3.13.9-x/bin/python3", "3.13"),
            ("pyenv/versions/3.13.0/bin/python", "3.13"),
        ]
    ):
        fake_python(tmp_path / "home" / place, tmp_path / "log", version)
        venv = tmp_path / f"venv{number}"
        assert install(copy, venv, **environment).returncode == 0
        assert version_in(venv) == version, place


def test_another_python_that_is_asked_for_makes_the_environment_anew(copy, tmp_path):
    log, venv = tmp_path / "log", tmp_path / "venv"
    old, new = (fake_python(tmp_path / f"python{v}", log, v) for v in ("3.12", "3.13"))
    for asked, version in ((old, "3.12"), ("", "3.12"), (new, "3.13"), ("", "3.13")):
        assert install(copy, venv, PYTHON=asked).returncode == 0
        assert version_in(venv) == version


def test_second_run_does_nothing_until_the_versions_change(copy, tmp_path):
    log = tmp_path / "log"
    python = fake_python(tmp_path / "python", log)
    assert install(copy, tmp_path / "venv", PYTHON=python).returncode == 0
    first = log.read_text().splitlines()
    assert all(" install " in line and ("--no-deps" in line or "--constraint" in line) for line in first)
    assert sum("--requirement" in line for line in first) == sum("--editable" in line for line in first) == 1
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


def test_requirements_are_all_constrained_for_every_python(top):
    """The installer takes the versions of constraints.txt alone: what is missing there would not be installed."""
    project = tomllib.loads((top / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + [each for extra in project["optional-dependencies"].values() for each in extra]
    lines = [line for line in (top / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    requirements, pins = ([Requirement(line) for line in some] for some in (wanted, lines))
    for python in ("3.11", "3.12", "3.13"):
        environment = {"python_version": python, "python_full_version": f"{python}.1"}
        assert f"{python}.1" in SpecifierSet(project["requires-python"])
        here = [each for each in pins if each.marker is None or each.marker.evaluate(environment)]
        versions = {canonicalize_name(each.name): next(iter(each.specifier)).version for each in here}
        assert len(versions) == len(here), "one version of each"
        for each in requirements:
            if each.name == "slm_espnet" or (each.marker and not each.marker.evaluate(environment)):
                continue
            assert versions[canonicalize_name(each.name)] in each.specifier, (python, each)


def test_constraints_are_written_from_environments(top, tmp_path):
    """One line for all Pythons where versions agree; what torch's CUDA builds bring is left out."""
    listings = {
        "3.11": "a==1\nTorch==2.13.0+cpu\nold_one==3",
        "3.12": "a==1\ntorch==2.13.0\nnvidia-nccl-cu13==2\nb==1",
        "3.13": "a==1\ntorch==2.13.0\ntriton==3\nb==1\nc==2",
    }
    for version, listing in listings.items():
        (tmp_path / version / "bin").mkdir(parents=True)
        script(tmp_path / version / "bin/python", f'case "$*" in *pip*) echo "{listing}" ;; *) echo {version} ;; esac')
    places = [f"{tmp_path}/{version}" for version in ("3.13", "3.11", "3.12")]
    command = [sys.executable, str(top / "utils/constraints.py"), *places]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert [line for line in out.splitlines() if not line.startswith("#")] == [
        "a==1", 'b==1; python_version >= "3.12"', 'c==2; python_version == "3.13"',
        'old_one==3; python_version == "3.11"', "Torch==2.13.0",
    ]  # fmt: skip
