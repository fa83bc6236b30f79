"""doc/HOWTO.md does what it says: files are written, changes made and commands run in a copy of the toolkit.

A fenced block with `file=PATH` is that file (`diff`: a change of it); one with `run` is executed. Others are prose.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
from safetensors import safe_open

from slm_espnet.data.datadir import read_data_dir

TOP = Path(__file__).resolve().parents[2]
TEXT = (TOP / "doc" / "HOWTO.md").read_text(encoding="utf-8")
WARM_PYTHON = TOP / "tests" / "egs2" / "warm_python.py"
COPIED = ("slm_espnet", "conf", "utils", "egs2/TEMPLATE", "egs2/own_data", "egs2/an4/slm1/conf", "egs2/mini/slm1/conf")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "data", "dump", "exp")  # what recipes write
EXPERIMENT = "slm_mine_train_gated_asr_seed1"


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    language: str
    file: str  # "" where it is to be run
    body: str

    def apply(self, top: Path) -> None:
        """Write the file, or change it; what a change takes away must be there once."""
        path = top / self.file
        if self.language != "diff":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.body, encoding="utf-8")
            return
        lines = self.body.splitlines(keepends=True)
        assert {line[0] for line in lines} <= set("+- "), self.body
        before = "".join(line[1:] for line in lines if line[0] != "+")
        after = "".join(line[1:] for line in lines if line[0] != "-")
        text = path.read_text(encoding="utf-8")
        assert text.count(before) == 1, f"{self.file} has changed:\n{before}"
        path.write_text(text.replace(before, after), encoding="utf-8")


def blocks() -> list[Block]:
    found = re.findall(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert len(found) == TEXT.count("\n```") // 2
    assert all(what == "run" or what.startswith("file=") for _, what, _ in found), "every block is tried"
    return [Block(language, what.removeprefix("file=").removeprefix("run"), body) for language, what, body in found]


def save_nllb(folder: Path, tokenizer: Path) -> None:
    """A random model of NLLB's class with the tokenizer of another model, and a language."""
    import torch
    from transformers import AutoTokenizer, M2M100Config, M2M100ForConditionalGeneration

    names = AutoTokenizer.from_pretrained(tokenizer)
    names.add_tokens(["spa_Latn"], special_tokens=True)
    names.save_pretrained(folder)
    config = M2M100Config(
        vocab_size=len(names), d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, max_position_embeddings=200, pad_token_id=0,
        bos_token_id=1, eos_token_id=names.eos_token_id, decoder_start_token_id=names.eos_token_id,
        forced_eos_token_id=None, scale_embedding=True,
    )  # fmt: skip
    torch.manual_seed(0)
    M2M100ForConditionalGeneration(config).eval().save_pretrained(folder)


def save_audio_of(block: Block, top: Path) -> None:
    """Noise for every recording that a table names."""
    random = np.random.default_rng(0)
    for name in re.findall(r"^\w+\.wav", block.body, re.MULTILINE) if block.language == "tsv" else ():
        noise = 0.1 * random.standard_normal(random.integers(12000, 20000))
        soundfile.write((top / block.file).parent / name, noise, 16000)


@pytest.fixture(scope="module")
def toolkit(tmp_path_factory, tiny_t5) -> Path:
    """The copy, when everything was done."""
    top = tmp_path_factory.mktemp("howto") / "slm_espnet"
    for name in COPIED:
        ignore = LEFT_OUT if name.startswith("egs2") else shutil.ignore_patterns("__pycache__")
        shutil.copytree(TOP / name, top / name, symlinks=True, ignore=ignore)
    package = [block for block in blocks() if block.file.startswith("slm_espnet/")]
    for block in package:
        block.apply(top)
    environment = {**os.environ, "PYTHONPATH": str(top), "VIRTUAL_ENV": sys.prefix}
    socket = top.parent / "socket"
    server = subprocess.Popen(
        [sys.executable, "-X", "utf8", WARM_PYTHON, "serve", socket], env=environment, cwd=top,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        shim = top.parent / "bin" / "python3"
        shim.parent.mkdir()
        shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "{WARM_PYTHON}" run "{socket}" "$@"\n')
        shim.chmod(0o755)
        environment["PATH"] = f"{shim.parent}:{Path(sys.executable).parent}:{environment['PATH']}"
        save_nllb(top / "models" / "nllb", tiny_t5)
        assert "ready\n" in iter(server.stdout.readline, ""), "the server died"
        for block in blocks():
            if block.file:
                if block not in package:
                    block.apply(top)
                save_audio_of(block, top)
                continue
            command = ["bash", "-euo", "pipefail", "-c", block.body] if block.language == "sh" else ["python3", "-"]
            done = subprocess.run(
                command, cwd=top, env=environment, text=True, capture_output=True,
                input=None if block.language == "sh" else block.body,
            )  # fmt: skip
            assert done.returncode == 0, f"{block.body}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    finally:
        server.kill()
        server.wait()
    return top


def rows(directory: Path) -> dict:
    return {row.utt_id: row for row in read_data_dir(directory, ("wav.scp", "text", "prompt", "utt2task"))}


def test_own_data_has_a_row_for_each_line_of_its_table(toolkit):
    data = toolkit / "egs2" / "own_data" / "slm1" / "data"
    assert {name: len(rows(data / name)) for name in ("train", "dev", "test")} == {"train": 2, "dev": 1, "test": 1}
    assert rows(data / "train")["two"].text == "what is the weather like in rome"


def test_a_corpus_has_its_rows_and_those_of_the_new_task(toolkit):
    data = toolkit / "egs2" / "mycorpus" / "slm1" / "data"
    assert {name: len(rows(data / name)) for name in ("train", "dev", "test")} == {"train": 8, "dev": 4, "test": 4}
    recognition, intent = rows(data / "test")["dora-t1"], rows(data / "test")["dora-t1-intent"]
    assert (recognition.task, recognition.text) == ("asr", "it is dark in here")
    assert (intent.task, intent.text, intent.prompt) == ("intent", "light", "What does the speaker want?")
    assert intent.audio.key == recognition.audio.key


def test_an_adapter_of_ones_own_is_trained_between_models_of_ones_own_and_scored(toolkit):
    exp = toolkit / "egs2" / "mycorpus" / "slm1" / "exp" / EXPERIMENT
    log = (exp / "train.log").read_text(encoding="utf-8")
    assert "kind mine" in log and "kind hf_nllb" in log
    results = json.loads((exp / "results.json").read_text(encoding="utf-8"))
    assert {(row["task"], row["metric"]) for row in results} >= {("asr", "wer"), ("intent", "accuracy")}
    assert {row["count"] for row in results} == {2}
    with safe_open(exp / "adapter.safetensors", "np") as weights:
        gates = [weights.get_tensor(name) for name in weights.keys() if name.endswith("gate.weight")]
    assert [gate.shape for gate in gates] == [(128, 64)]
