"""Recipes of corpora on made-up miniatures: what a user does, `./run.sh` with the corpus' path, with tiny models.

    def test_all_stages(recipes, tmp_path):                       # `recipes`: fixture of conftest.py
        corpus = librispeech.make(tmp_path / "LibriSpeech")       # corpus_fixtures: the publisher's layout, made up
        work = recipes.run("librispeech", tmp_path, LIBRISPEECH=corpus)
        work.rows("train"), work.scores()

    work = recipes.prepare("librispeech", tmp_path, LIBRISPEECH=corpus)       # stage 1 alone: two seconds
    work = recipes.data("librispeech", tmp_path, "--max_failed", "1", LIBRISPEECH=corpus)    # local/data.sh alone
    work.status, work.output, work.left_out("train")              # what was said, and what is left out by reason
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

from slm_espnet.data.datadir import Row, read_data_dir

TOP = Path(__file__).resolve().parents[2]
# The recipe's own configuration, as small and short as it can be.
TRAINING = (
    "--max_epoch 1 --num_iters_per_epoch 2 --batch_size 4 --num_workers 0 "
    "--adapter_conf size=32 --adapter_conf feed_forward=32 --adapter_conf heads=2"
)
TRAINING_WITH_CTC = "--model_conf ctc_only_steps=1"  # what configurations with a CTC loss need besides
DECODING = "--max_length 8"


@dataclass
class Work:
    """What a recipe wrote, and said."""

    folder: Path
    status: int
    output: str  # stdout and stderr
    sets: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.sets = tuple(sorted(p.parent.name for p in self.folder.glob("data/*/wav.scp")))

    def rows(self, name: str) -> dict[str, Row]:
        """Rows of a data directory by utterance id."""
        tables = ("wav.scp", "text", "prompt", "utt2task", "utt2lang", "utt2spk")
        return {row.utt_id: row for row in read_data_dir(self.folder / "data" / name, tables)}

    def left_out(self, name: str) -> dict[str, list[str]]:
        """Reason → utterance ids ("-": a line without one) of what a set's preparation left out."""
        found: dict[str, list[str]] = {}
        path = self.folder / "data" / name / "left_out.tsv"
        for line in csv.DictReader(path.open(encoding="utf-8"), delimiter="\t", quoting=csv.QUOTE_NONE):
            found.setdefault(line["reason"], []).append(line["utterance"])
        return found

    def places(self, name: str) -> list[str]:
        """Places (file name:line) of what a set's preparation left out."""
        path = self.folder / "data" / name / "left_out.tsv"
        rows = csv.DictReader(path.open(encoding="utf-8"), delimiter="\t", quoting=csv.QUOTE_NONE)
        return [line["place"].rsplit("/", 1)[-1] for line in rows]

    def scores(self) -> list[dict]:
        """Rows of results.json."""
        (path,) = self.folder.glob("exp/slm_*/results.json")
        return json.loads(path.read_text(encoding="utf-8"))


class Recipes:
    """Runs recipes in a warm interpreter.

    Args:
        python: folder with the `python3` to run them with.
        foundation: YAML of a tiny pair of models.
    """

    def __init__(self, python: Path, foundation: Path) -> None:
        self.python, self.foundation = python, foundation

    def prepare(self, corpus: str, folder: Path, *, options=(), check: bool = True, **environment) -> Work:
        """Stage 1."""
        return self._run(corpus, folder, ("--stop_stage", "1", *options), check, environment)

    def run(self, corpus: str, folder: Path, *, options=(), check: bool = True, **environment) -> Work:
        """Stages 1 to 6, without the two bounds of decoding (`--baselines ""`): they know nothing of the corpus."""
        settings = (TOP / "egs2" / corpus / "slm1" / "conf" / "train.yaml").read_text(encoding="utf-8")
        training = f"{TRAINING} {TRAINING_WITH_CTC}" if "ctc_only_steps" in settings else TRAINING
        short = ("--slm_args", training, "--inference_args", DECODING, "--nj", "1", "--inference_nj", "1")
        short = (*short, "--baselines", "", "--slm_tag", "tiny")
        return self._run(corpus, folder, (*short, *options), check, environment)

    def with_programs(self, folder: Path) -> Recipes:
        """The same, with the programs of a folder in PATH."""
        return Recipes(Path(f"{self.python}:{folder}"), self.foundation)

    def data(self, corpus: str, folder: Path, *options, check: bool = True, **environment) -> Work:
        """Data preparation alone, local/data.sh: what bad corpora are tried on."""
        return self._call(corpus, folder, ["local/data.sh"], options, check, environment)

    def _run(self, corpus: str, folder: Path, options, check: bool, environment: dict) -> Work:
        command = ["./run.sh", "--foundation", self.foundation, "--expdir", folder / "exp"]
        return self._call(corpus, folder, command, options, check, environment)

    def _call(self, corpus: str, folder: Path, command: list, options, check: bool, environment: dict) -> Work:
        folder.mkdir(parents=True, exist_ok=True)
        command = [*command, "--datadir", folder / "data", "--dumpdir", folder / "dump", *options]
        variables = {name: str(value) for name, value in environment.items()}
        path = f"{self.python}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            list(map(str, command)), cwd=TOP / "egs2" / corpus / "slm1", text=True, capture_output=True,
            env={**os.environ, **variables, "PATH": path, "VIRTUAL_ENV": sys.prefix},
        )  # fmt: skip
        output = done.stdout + done.stderr
        assert not check or done.returncode == 0, output[-6000:]
        return Work(folder, done.returncode, output)


def tone(seconds: float, number: int = 0, rate: int = 16000) -> np.ndarray:
    """Something smooth that differs by number: float32 (N,)."""
    time = np.arange(round(seconds * rate)) / rate
    wave = np.sin(2 * np.pi * (150 + 37 * number) * time) + 0.5 * np.sin(2 * np.pi * (900 + 91 * number) * time)
    return (0.2 * wave * (1 + np.sin(2 * np.pi * 3 * time)) / 2).astype(np.float32)


def write_audio(path: Path, seconds: float = 1.0, number: int = 0, rate: int = 16000, **options) -> Path:
    """An audio file of a tone; its format is that of the suffix, or as soundfile's options say."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone(seconds, number, rate), rate, **options)
    return path


def write_text(path: Path, text: str | bytes) -> Path:
    """A text file, with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def write_silence(path: Path, rate: int = 16000, **options) -> Path:
    """An audio file without any sample."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(0, dtype=np.float32), rate, **options)
    return path


def cut_file(path: Path, size: int) -> None:
    """Leave the first bytes of a file only."""
    path.write_bytes(path.read_bytes()[:size])


def add_lines(path: Path, *lines: str | bytes) -> None:
    """Append lines to a text file."""
    with open(path, "ab") as file:
        for line in lines:
            file.write((line.encode() if isinstance(line, str) else line) + b"\n")
