"""The wheel: what an installation without a clone has."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

# what the wheel is made of; the rest of a clone is not needed to build it
PARTS = ("slm_espnet", "egs2", "conf", "utils", "pyproject.toml", "setup.py", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def installed(top, tmp_path_factory) -> Path:
    """A wheel of the working tree, unpacked as pip does it; with what a run of a recipe had left in the tree."""
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"
    tree.mkdir()
    made = shutil.ignore_patterns("__pycache__", "data", "dump", "downloads", "exp", "log", "*.safetensors")
    for name in PARTS:
        if (top / name).is_dir():
            shutil.copytree(top / name, tree / name, symlinks=True, ignore=made if name == "egs2" else None)
        else:
            shutil.copy(top / name, tree / name)
    for left in ("exp/model/weights.pth", "data/train/text", "dump/a.wav", "log/x.log"):
        path = tree / "egs2/mini/slm1" / left
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("left")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    done = subprocess.run([*pip, str(tree)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    place = folder / "lib/python3.12/site-packages"
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            path = Path(archive.extract(info, place))
            path.chmod(0o644 | info.external_attr >> 16 & 0o111)
    return place


def test_recipes_and_their_helpers_are_in_it_and_what_runs_left_is_not(top, installed):
    share = installed / "slm_espnet/share"
    listed = subprocess.run(
        ["git", "ls-files", "egs2", "conf", "utils"], cwd=top, capture_output=True, text=True, check=False
    ).stdout.splitlines()
    wanted = [name for name in listed if (top / name).is_file() and not name.endswith(".safetensors")]
    if not wanted:
        pytest.skip("not a clone")
    assert [name for name in wanted if not (share / name).is_file()] == []
    assert {path.name for path in (share / "egs2/mini/slm1").iterdir()}.isdisjoint({"exp", "data", "dump", "log"})
    assert not any(path.is_symlink() for path in installed.rglob("*"))


def test_a_recipe_is_laid_out_without_a_clone(installed, tmp_path):
    command = [sys.executable, "-m", "slm_espnet.cli", "recipe", "librispeech", str(tmp_path / "mine")]
    environment = {"PYTHONPATH": str(installed), "PATH": "/usr/bin:/bin"}
    subprocess.run(command, env=environment, cwd=tmp_path, check=True, capture_output=True)
    assert str((tmp_path / "mine/slm.sh").resolve()).startswith(str(installed.resolve()))
    done = subprocess.run([tmp_path / "mine/slm.sh", "--help"], cwd=tmp_path / "mine", capture_output=True, text=True)
    assert done.returncode == 0 and "--foundation" in done.stdout


def test_the_console_script_is_there_and_the_version_is_one(top, installed):
    metadata = next(installed.glob("slm_espnet-*.dist-info"))
    assert "slm-espnet = slm_espnet.cli:entry" in (metadata / "entry_points.txt").read_text()
    version = tomllib.loads((top / "pyproject.toml").read_text())["project"]["version"]
    assert f'__version__ = "{version}"' in (top / "slm_espnet/__init__.py").read_text()
