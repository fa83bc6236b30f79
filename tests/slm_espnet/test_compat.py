"""Workarounds for other packages: each does its work where needed and nothing elsewhere."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

from slm_espnet import compat
from slm_espnet.errors import UserError


def run(code: str, *paths: Path) -> str:
    """Output of a fresh Python that finds modules in `paths` first."""
    prelude = f"import sys; sys.path[:0] = {[str(path) for path in paths]!r}\n"
    result = subprocess.run([sys.executable, "-c", prelude + code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def fake_package(folder: Path, name: str, init: str = "") -> Path:
    package = folder / name
    (package / "lib").mkdir(parents=True)
    (package / "__init__.py").write_text(init, encoding="utf-8")
    return package


@pytest.fixture
def packages(tmp_path) -> Path:
    """A torch without CUDA, and a torchaudio whose extension is linked to it and does not import."""
    fake_package(tmp_path, "torch")
    torchaudio = fake_package(tmp_path, "torchaudio", "from . import _extension")
    (torchaudio / "_extension").mkdir()
    (torchaudio / "_extension" / "__init__.py").write_text("raise OSError('libc10_cuda.so: cannot open')")
    (torchaudio / "lib" / "libtorchaudio.so").write_bytes(b"\x7fELF...libc10_cuda.so\0")
    return tmp_path


STAND_IN = "from slm_espnet import compat; compat.stand_in_for_torchaudio(); "
IMPORT = f"{STAND_IN}import torchaudio; from torchaudio import _extension as e; "


def test_torchaudio_imports_beside_a_cpu_torch(packages, top):
    out = run(IMPORT + "print(e._IS_ALIGN_AVAILABLE, e.__spec__.submodule_search_locations)", packages, top)
    assert out.split() == ["False", "[]"]
    align = IMPORT + "align = e.fail_if_no_align(lambda: 1)\ntry: align()\nexcept RuntimeError as x: print(x)"
    assert "linked to CUDA" in run(align, packages, top)


def test_working_torchaudio_is_left_alone(packages, top):
    (packages / "torchaudio" / "_extension" / "__init__.py").write_text("own = True")
    (packages / "torchaudio" / "lib" / "libtorchaudio.so").write_bytes(b"\x7fELF...libc10.so\0")  # a CPU build
    assert run(IMPORT + "print(e.own)", packages, top).strip() == "True"
    (packages / "torchaudio" / "lib" / "libtorchaudio.so").write_bytes(b"\x7fELF...libc10_cuda.so\0")
    (packages / "torch" / "lib" / "libc10_cuda.so").write_bytes(b"")  # a CUDA build of torch
    assert run(IMPORT + "print(e.own)", packages, top).strip() == "True"


def test_the_real_torchaudio_resamples(top):
    code = f"{STAND_IN}import torch; from torchaudio.transforms import Resample; "
    code += "print(Resample(8000, 16000)(torch.ones(1, 800)).shape[1])"
    assert run(code, top).strip() == "1600"


def test_importing_the_package_imports_nothing_heavy(top):
    out = run("import slm_espnet; print([m for m in ('torch', 'numpy', 'transformers') if m in sys.modules])", top)
    assert out.strip() == "[]"


def test_espnets_tasks_download_nothing_and_leave_nltk_as_it_was(tmp_path, top):
    nltk = fake_package(tmp_path, "nltk")
    (nltk / "__init__.py").write_text("def download(name): print('downloads', name)")
    fake_package(tmp_path, "g2p_en", "import nltk\nnltk.download('cmudict')")
    code = "from importlib import metadata; metadata.version = lambda name: '202511'; from slm_espnet import compat\n"
    code += "with compat.espnet_tasks():\n    import g2p_en\nimport nltk; nltk.download('other')"
    assert run(code, tmp_path, top).splitlines() == ["downloads other"]


@pytest.mark.parametrize("version", [None, "202509", "202609"])
def test_missing_or_other_espnet_names_the_cure(monkeypatch, version):
    def of(_name):
        if version is None:
            raise importlib.metadata.PackageNotFoundError
        return version

    monkeypatch.setattr("importlib.metadata.version", of)
    with pytest.raises(UserError, match=r"make install.*--upgrade slm-espnet"):
        compat.check_espnet()


def test_espnet_of_this_environment_passes_and_later_ones(monkeypatch):
    compat.check_espnet()
    monkeypatch.setattr("importlib.metadata.version", lambda _name: "202702")
    compat.check_espnet()
