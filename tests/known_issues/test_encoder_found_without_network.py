"""A Hugging Face encoder that was in the cache could not be used where the Hub could not be reached."""

import json
import os
import subprocess
import sys

CODE = """
import time
time.sleep = lambda _seconds: None  # the Hub's client tries again for half a minute
from slm_espnet.errors import UserError
from slm_espnet.speech_encoder.source import find_model
print(find_model("me/encoder").directory)
try:
    find_model("me/other")
except UserError as error:
    print(error)
"""


def test_cached_encoder_is_found_without_network(tmp_path):
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "hub" / "models--me--encoder"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    snapshot = repository / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text(json.dumps({"model_type": "wav2vec2"}))
    (snapshot / "model.safetensors").write_text("weights")
    kept = {key: value for key, value in os.environ.items() if key not in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")}
    # port 9 of loopback: nobody answers
    environment = {**kept, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_XET": "1"}
    done = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    found, refused = done.stdout.splitlines()
    assert found == str(snapshot)
    assert "me/other is neither a directory nor to be had from the Hub" in refused
