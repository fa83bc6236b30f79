"""A Hub on loopback, the real client in a process of its own, and a package of the mini pair."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import fake_hub
import pytest
from tiny_experiment import make_experiment

HERE = Path(__file__).parent


def load(path: Path):
    """A file beside the tests as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


class Failed(Exception):
    """The client's UserError."""


@pytest.fixture(scope="session")
def hub():
    """The server."""
    with fake_hub.FakeHub() as server:
        yield server


@pytest.fixture(scope="session")
def client(hub, tmp_path_factory):
    """Function (name, arguments) → what client.py answers; Failed where it has an error."""
    offline = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_TOKEN")
    environment = {key: value for key, value in os.environ.items() if key not in offline}
    environment |= {
        "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path_factory.mktemp("hf_home")), "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }  # fmt: skip
    command = [sys.executable, str(HERE / "client.py")]
    process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def call(name, **arguments):
        process.stdin.write(json.dumps([name, arguments], default=str) + "\n")
        process.stdin.flush()
        reply = json.loads(process.stdout.readline())
        if "error" in reply:
            raise Failed(reply["error"])
        return reply["value"]

    yield call
    process.stdin.close()
    process.wait()


@pytest.fixture(scope="session")
def experiment(top, tmp_path_factory):
    """An experiment with scores."""
    exp = make_experiment(top, tmp_path_factory.mktemp("recipe"))
    common = {"inference": "greedy", "language": "en", "self": False, "seed": 3, "normalizer": "basic", "signature": ""}
    rows = [
        {**common, "set": "test", "task": "asr", "metric": "wer", "value": 12.3456, "standard_error": 0.5,
         "cascade": 14.0, "bound": 0.0, "count": 40, "seen": True},
        {**common, "set": "test", "task": "ast", "language": "en_es", "metric": "bleu", "value": 55.0,
         "standard_error": None, "cascade": 50.0, "bound": 99.0, "count": 40, "seen": False},
        {**common, "set": "test", "task": "asr", "metric": "ctc_wer", "value": 20.0, "standard_error": None,
         "cascade": None, "bound": None, "count": 40, "seen": True},
    ]  # fmt: skip
    (exp / "results.json").write_text(json.dumps(rows), encoding="utf-8")
    environment = f"# RESULTS\n## Environments\n- date: `now`\n- command: `{Path.home()}/run.sh`\n\n## exp\ntable\n"
    (exp / "RESULTS.md").write_text(environment, encoding="utf-8")
    return exp


@pytest.fixture(scope="session")
def pack_arguments(top, experiment):
    """Options of the packing command, without --output_dir."""
    recipe = experiment.parents[1]
    return [
        "--exp_dir", str(experiment), "--foundation", str(top / "conf/foundation/mini.yaml"),
        "--tasks_config", str(recipe / "conf/tasks.yaml"), "--inference_config", str(recipe / "conf/decode.yaml"),
        "--license", "apache-2.0", "--datasets", "me/corpus", "--command", "./run.sh --seed 3",
    ]  # fmt: skip


@pytest.fixture(scope="session")
def package(pack_arguments, tmp_path_factory):
    """A package with its foundations."""
    from slm_espnet.bin import pack

    folder = tmp_path_factory.mktemp("packed") / "package"
    pack.main([*pack_arguments, "--output_dir", str(folder), "--pack_foundations", "true"])
    return folder


noise = load(HERE.parent / "api" / "conftest.py").noise
