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
    """Output of a fresh Python that finds modules in `paths` first and has no start-up file of ours."""
    prelude = f"import sys; sys.meta_path[:] = [f for f in sys.meta_path if type(f).__name__ not in {NAMES!r}]\n"
    prelude += f"sys.path[:0] = {[str(path) for path in paths]!r}\n"
    result = subprocess.run([sys.executable, "-c", prelude + code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


NAMES = [workaround.__name__ for workaround in compat.WORKAROUNDS]


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


PREPARE = "from slm_espnet import compat; compat.prepare_imports(); "
IMPORT = f"{PREPARE}import torchaudio; e = torchaudio._extension; "


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
    code = f"{PREPARE}import torch; from torchaudio.transforms import Resample; "
    code += "print(Resample(8000, 16000)(torch.ones(1, 800)).shape[1])"
    assert run(code, top).strip() == "1600"


def test_importing_the_package_imports_nothing_heavy(top):
    out = run("import slm_espnet; print([m for m in ('torch', 'numpy', 'transformers') if m in sys.modules])", top)
    assert out.strip() == "[]"


def test_importing_g2p_downloads_nothing_and_leaves_nltk_as_it_was(tmp_path, top):
    nltk = fake_package(tmp_path, "nltk")
    (nltk / "__init__.py").write_text("def download(name): print('downloads', name)")
    g2p = fake_package(tmp_path, "g2p_en", "from .g2p import G2p")
    (g2p / "g2p.py").write_text("import nltk\nnltk.download('cmudict')\nclass G2p: pass")
    out = run(f"{PREPARE}import g2p_en, nltk; print(g2p_en.G2p.__name__); nltk.download('other')", tmp_path, top)
    assert out.splitlines() == ["G2p", "downloads other"]


def test_start_up_file_needs_no_toolkit_on_the_path(packages, tmp_path):
    """What the installer writes works for a Python that never imports slm_espnet, and does not stack up."""
    site = tmp_path / "site"
    site.mkdir()
    compat.install(site)
    code = f"import site; sys.modules.pop({compat.STARTUP_MODULE!r}, None)\n"  # that of this environment may be older
    code += f"site.addsitedir({str(site)!r}); site.addsitedir({str(site)!r}); import torchaudio; "
    code += "print(torchaudio._extension._IS_ALIGN_AVAILABLE); "
    code += "print(sum(type(f).__name__ in NAMES for f in sys.meta_path))"
    out = run(f"NAMES = {NAMES!r}\n" + code, packages, site)
    assert out.split() == ["False", str(len(NAMES))]


@pytest.mark.parametrize("version", [None, "202609"])
def test_missing_or_other_espnet_names_the_cure(monkeypatch, version):
    def of(_name):
        if version is None:
            raise importlib.metadata.PackageNotFoundError
        return version

    monkeypatch.setattr("importlib.metadata.version", of)
    with pytest.raises(UserError, match=r"make install.*--upgrade slm-espnet"):
        compat.check_espnet()


def test_expected_espnet_passes():
    compat.check_espnet()


def test_transformers_loads_a_model_without_scipy_and_finds_what_it_found_before(top):
    code = """
from slm_espnet import compat; compat.prepare_imports()
from pathlib import Path
from transformers import T5ForConditionalGeneration
assert "scipy.optimize" not in sys.modules
from transformers.loss.loss_rt_detr import linear_sum_assignment
rows, columns = linear_sum_assignment([[3.0, 1.0], [1.0, 3.0]])
assert columns.tolist() == [1, 0] and "scipy.optimize" in sys.modules
from transformers.utils import import_utils
quick, of_lines = import_utils.fetch__all__, import_utils.fetch__all__.__closure__[0].cell_contents
folder = Path(import_utils.__file__).parents[1] / "models"
files = [*folder.glob("t5/*.py"), *folder.glob("auto/*.py"), *folder.glob("w*/*.py")]
texts = [file.read_text(encoding="utf-8") for file in files] + ["x = 1", "__all__ = ['a', 'b']", "# __all__ is none"]
assert sum(bool(of_lines(text)) for text in texts) > 20
assert [quick(text) for text in texts] == [of_lines(text) for text in texts]
print("done")
"""
    assert run(code, top).strip() == "done"


def test_espnets_trainer_loads_without_a_synthesizer_whose_modules_it_still_knows(top):
    code = """
from slm_espnet import compat; compat.prepare_imports()
import types
from espnet2.main_funcs import calculate_all_attentions as room
assert not {"numba", "scipy.stats", "espnet2.gan_tts.jets"} & set(sys.modules)
assert not isinstance(object(), room.AlignmentModule)
sys.modules["espnet2.gan_tts.jets.alignments"] = real = types.ModuleType("alignments")
real.AlignmentModule = type("AlignmentModule", (), {})
assert isinstance(real.AlignmentModule(), room.AlignmentModule) and not isinstance(object(), room.AlignmentModule)
print("done")
"""
    assert run(code, top).splitlines()[-1] == "done"
