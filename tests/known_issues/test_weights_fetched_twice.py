"""Repositories that hold their weights in several formats were fetched, and hashed, with all of them."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fake_hub import FakeHub

STRANGERS = {"consolidated.safetensors": b"twice", "model.fp16.safetensors": b"half", "tf_model.h5": b"tf",
             "original/consolidated.00.pth": b"original", "fp16/model.safetensors": b"half", "model.onnx": b"onnx",
             "pytorch_model.bin": b"pickle", "adapter/adapter_model.safetensors": b"lora"}  # fmt: skip
CODE = """
import json, sys, time
time.sleep = lambda _seconds: None  # the Hub's client tries again for half a minute
from slm_espnet.errors import UserError
from slm_espnet.llm.source import find_model
from slm_espnet.speech_encoder.source import find_model as find_encoder
for line in sys.stdin:
    kind, options = json.loads(line)
    try:
        source = (find_encoder if kind == "encoder" else find_model)(**options)
        value = [str(source.directory), source.revision, source.files().every, source.weights_sha256()]
    except UserError as error:
        value = str(error)
    print(json.dumps(value), flush=True)
"""


@pytest.fixture
def hub():
    with FakeHub() as server:
        yield server


@pytest.fixture
def find(hub, tmp_path):
    """Function (kind, options of find_model) → [directory, revision, files, hash] or an error, by the real client."""
    kept = {key: value for key, value in os.environ.items() if key not in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")}
    environment = {**kept, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
    client = subprocess.Popen([sys.executable, "-c", CODE], env=environment, text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip

    def ask(kind="llm", **options):
        print(json.dumps([kind, options]), file=client.stdin, flush=True)
        return json.loads(client.stdout.readline())

    yield ask
    client.stdin.close()
    client.wait(60)
    client.stdout.close()


def on_disk(directory: str) -> set[str]:
    top = Path(directory)
    return {path.relative_to(top).as_posix() for path in top.rglob("*") if path.is_file()}


def test_only_what_is_used_is_fetched(hub, find):
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    used = {"config.json": b"{}", "tokenizer.json": b"{}", "model.safetensors.index.json": json.dumps(index).encode(),
            "model-00001-of-00002.safetensors": b"one", "model-00002-of-00002.safetensors": b"two"}  # fmt: skip
    commit = hub.publish("me/llm", {**used, **STRANGERS})
    directory, revision, files, sha256 = find(name="me/llm")
    assert (revision, set(files)) == (commit, set(used)) and on_disk(directory) == set(used)
    lines = [f"{n} {hashlib.sha256(used[n]).hexdigest()}\n" for n in sorted(used) if n.endswith(".safetensors")]
    assert sha256 == hashlib.sha256("".join(lines).encode()).hexdigest()
    assert set(find(name="me/llm", weights=False)[2]) == {"config.json", "tokenizer.json"}
    # nothing of it needs the network again, whatever has been added since
    hub.publish("me/llm", {"config.json": b"{}"})
    hub.stop()
    try:
        assert find(name="me/llm") == [directory, commit, files, sha256]
        assert find(name="me/llm", revision=commit) == [directory, commit, files, sha256]
    finally:
        hub.start()


def test_a_part_in_the_cache_is_not_taken_for_a_model_without_weights(hub, find):
    hub.publish("me/llm", {"config.json": b"{}", "tokenizer.json": b"{}", "model.safetensors": b"weights"})
    tokenizer = find(name="me/llm", weights=False)
    hub.stop()
    try:
        assert find(name="me/llm", weights=False) == tokenizer
        assert "me/llm is not whole in the Hub's cache" in find(name="me/llm")
    finally:
        hub.start()
    assert find(name="me/llm")[2] == ["config.json", "model.safetensors", "tokenizer.json"]


def test_of_a_thousand_language_adapters_one_is_fetched(hub, find):
    names = [f"adapter.{lang}.{kind}" for lang in ("deu", "eng", "fra") for kind in ("bin", "safetensors")]
    adapters = {name: name.encode() for name in names}
    used = {"config.json": b"{}", "preprocessor_config.json": b"{}", "vocab.json": b"{}", "model.safetensors": b"base"}
    hub.publish("me/mms", {**used, **adapters, **STRANGERS})
    directory, _, files, _ = find("encoder", name="me/mms", target_lang="deu")
    assert set(files) == on_disk(directory) == {*used, "adapter.deu.safetensors"}


def test_pickles_are_fetched_only_where_they_are_trusted(hub, find):
    hub.publish("me/old", {"config.json": b"{}", "pytorch_model.bin": b"pickle", "flax_model.msgpack": b"flax"})
    for kind in ("llm", "encoder"):
        assert "me/old has no model.safetensors, only pickled weights" in find(kind, name="me/old")
    assert hub.count("GET .*/resolve/.*pytorch_model.bin") == 0
    directory, _, files, sha256 = find("encoder", name="me/old", trust_pickle=True)
    assert set(files) == on_disk(directory) == {"config.json", "pytorch_model.bin"}
    assert sha256 == hashlib.sha256(b"pickle").hexdigest()
    # the conversion bot's pull request
    converted = {"config.json": b"{}", "model.safetensors": b"safe", "pytorch_model.bin": b"pickle"}
    commit = hub.propose("me/old", 3, converted)
    directory, revision, files, sha256 = find(name="me/old", revision="refs/pr/3")
    assert (revision, sha256) == (commit, hashlib.sha256(b"safe").hexdigest())
    assert set(files) == on_disk(directory) == {"config.json", "model.safetensors"}
    hub.publish("me/none", {"README.md": b"nothing"})
    assert "me/none has no config.json" in find(name="me/none")
