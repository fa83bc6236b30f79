"""Where HOME is no folder, as in some containers and daemons, hashing the weights ended in a traceback."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from slm_espnet import weights
from slm_espnet.errors import UserError
from slm_espnet.hub.provenance import without_home
from slm_espnet.speech_encoder.espnet_files import find_espnet_model

CODE = """
import sys
from slm_espnet.llm.build import build_llm
from slm_espnet.speech_encoder.build import build_speech_encoder
from slm_espnet import weights
weights.REMEMBERED_SIZE = 1
print(build_speech_encoder("espnet_ctc", {"model": sys.argv[1] + "/encoder"}).identity()["weights_sha256"])
print(build_llm("hf_seq2seq", {"model": sys.argv[1] + "/llm"}).identity()["weights_sha256"])
"""


@pytest.fixture
def no_home(monkeypatch):
    """HOME as a daemon has it."""
    monkeypatch.setenv("HOME", "/dev/null")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)


def test_models_are_loaded_and_hashed_without_a_home(top, no_home):
    models = top / "egs2/mini/foundations"
    output = subprocess.check_output([sys.executable, "-c", CODE, str(models)], text=True, env=dict(os.environ))
    sides = [models / side / "model.safetensors" for side in ("encoder", "llm")]
    assert output.split()[-2:] == [hashlib.sha256(path.read_bytes()).hexdigest() for path in sides]


@pytest.mark.parametrize("damage", [b"[]", b"\xff\xfe", b"{"])
def test_a_damaged_memory_of_hashes_is_made_anew(tmp_path, monkeypatch, damage):
    monkeypatch.setattr(weights, "REMEMBERED_SIZE", 1)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "slm_espnet").mkdir()
    (tmp_path / "slm_espnet/sha256.json").write_bytes(damage)
    (tmp_path / "weights").write_bytes(b"12")
    for _ in range(2):
        assert weights.file_sha256(tmp_path / "weights") == hashlib.sha256(b"12").hexdigest()
    assert [path.name for path in (tmp_path / "slm_espnet").iterdir()] == ["sha256.json"]


def test_a_user_whom_the_system_does_not_know(tmp_path, monkeypatch):
    def unknown():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", staticmethod(unknown))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(weights, "REMEMBERED_SIZE", 1)
    (tmp_path / "weights").write_bytes(b"12")
    assert weights.file_sha256(tmp_path / "weights") == hashlib.sha256(b"12").hexdigest()
    assert without_home("run /home/me/x") == "run /home/me/x"
    with pytest.raises(UserError, match="set XDG_CACHE_HOME"):
        find_espnet_model("me/model")


def test_nothing_can_be_kept_in_the_cache(no_home):
    with pytest.raises(UserError, match="/dev/null/.cache/slm_espnet/espnet/.*set XDG_CACHE_HOME"):
        find_espnet_model("me/model")
