"""A training of a second: a random T5, made-up encodings, and processes forked from one that has its imports done."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from slm_espnet.bin import stats
from slm_espnet.data.datadir import AudioSource
from slm_espnet.encodings.fingerprint import write_fingerprint
from slm_espnet.encodings.job import JobOptions, mark_done
from slm_espnet.encodings.layout import FORMAT, Encoding, job_left_out_path
from slm_espnet.encodings.merge import merge
from slm_espnet.encodings.plan import Recording
from slm_espnet.encodings.writer import EncodingWriter
from slm_espnet.errors import UserError

WIDTH = 12
TEXTS = ("call mary", "tell james on monday", "book a table", "the weather in london", "call james at nine", "go")
CONFIG = {
    "max_epoch": 3,
    "batch_type": "sorted",
    "batch_size": 3,
    "optim": "adamw",
    "optim_conf": {"lr": 0.01},
    "scheduler": "onecyclelr",
    "scheduler_conf": {"max_lr": 0.01},
    "adapter_conf": {"size": 16, "heads": 2, "layers": 1},
    "model_conf": {"ctc_only_steps": 2, "kl_weight": 0.5},
    "keep_nbest_models": 2,
    "num_threads": 1,
}


def _encode(directory: Path, frames: dict[str, np.ndarray]) -> None:
    directory.mkdir(parents=True)
    fingerprint = {
        "format": FORMAT, "encoder": {"kind": "made up"}, "reduction": {"name": "none"}, "storage_dtype": "float32",
        "dim": WIDTH, "frame_shift": 0.04, "blank_id": None, "posteriors": None, "vocabulary": None,
    }  # fmt: skip
    write_fingerprint(directory, fingerprint)
    with EncodingWriter(directory, 1, fingerprint) as writer:
        for key, array in frames.items():
            places = np.arange(len(array))
            writer.write({key: Encoding(array, places, places + 1, len(array), 0.04 * len(array), "", None)})
    recordings = [Recording(key, AudioSource(key), None) for key in sorted(frames)]
    job_left_out_path(directory, 1).touch()
    mark_done(directory, fingerprint, recordings, {}, JobOptions(job=1, num_jobs=1))
    merge(recordings, directory, 1, {})


class TinyTraining:
    """Data and options of a training, and ways to run it."""

    def __init__(self, folder: Path, llm: Path):
        self.folder = folder
        random = np.random.default_rng(0)
        foundation = {"speech_encoder": "espnet_ctc", "llm": "hf_seq2seq", "llm_conf": {"model": str(llm)},
                      "prompt_conf": {"speech_end": "<sp>", "end": "<eos>"}}  # fmt: skip
        (folder / "foundation.yaml").write_text(yaml.safe_dump(foundation), encoding="utf-8")
        (folder / "train.yaml").write_text(yaml.safe_dump(CONFIG), encoding="utf-8")
        for part, count in (("train", 16), ("dev", 7)):
            self._write(part, count, random)

    def _write(self, part: str, count: int, random: np.random.Generator) -> None:
        """Every third row has a task without a transcript: what CTC and KL leave out."""
        data = self.folder / "data" / part
        data.mkdir(parents=True)
        columns = {"wav.scp": [f"{part}{n}.wav" for n in range(count)]}
        columns["text"] = [TEXTS[n % len(TEXTS)] for n in range(count)]
        columns["prompt"] = ["recognize this speech"] * count
        columns["utt2task"] = ["topic" if n % 3 == 2 else "asr" for n in range(count)]
        for name, values in columns.items():
            lines = (f"{part}{n:02d} {value}\n" for n, value in enumerate(values))
            (data / name).write_text("".join(lines), encoding="utf-8")
        keys = [AudioSource(path).key for path in columns["wav.scp"]]
        _encode(self.folder / "enc" / part, {key: random.normal(size=(14 + n, WIDTH)) for n, key in enumerate(keys)})
        options = ["--data_dir", data, "--encodings_dir", self.folder / "enc" / part]
        options += ["--foundation", self.folder / "foundation.yaml", "--output_dir", self.folder / "stats" / part]
        assert stats.main([str(option) for option in options]) == 0

    def arguments(self, output_dir: Path, *options: object) -> list[str]:
        """Of slm_espnet.bin.train."""
        folder = self.folder
        values = ["--config", folder / "train.yaml", "--foundation", folder / "foundation.yaml", "--resume", "true"]
        for kind, part in (("train", "train"), ("valid", "dev")):
            path = f"{folder}/data/{part}::{folder}/enc/{part},speech,slm_rows"
            values += [f"--{kind}_data_path_and_name_and_type", path]
            values += [f"--{kind}_shape_file", folder / "stats" / part / "speech_shape"]
        return [str(value) for value in (*values, "--output_dir", output_dir, *options)]

    def run(self, output_dir: Path, *options: object) -> None:
        """Train in this process."""
        from slm_espnet.task import SLMTask

        SLMTask.main(cmd=self.arguments(output_dir, *options))

    def run_forked(
        self, output_dir: Path, *options: object, processes: int = 1, prepare: Callable[[int], None] | None = None
    ) -> list[int]:
        """Train in one or several processes; their exit statuses, negative for signals.

        Args:
            output_dir: where to.
            options: more options.
            processes: with several, they are one distributed training.
            prepare: called in each with its rank, before it begins.
        """
        meeting = output_dir.parent / f"{output_dir.name}.meeting{len(list(output_dir.parent.glob('*meeting*')))}"
        more = [*options]
        if processes > 1:
            more += ["--dist_backend", "gloo", "--dist_init_method", f"file://{meeting}"]
        children = []
        for rank in range(processes):
            place = {"RANK": rank, "WORLD_SIZE": processes, "LOCAL_RANK": 0, "GLOO_SOCKET_IFNAME": "lo"}

            def train(rank: int = rank, place: dict[str, object] = place) -> None:
                if processes > 1:
                    os.environ.update({name: str(value) for name, value in place.items()})
                if prepare is not None:
                    prepare(rank)
                self.run(output_dir, *more)

            children.append(fork(train))
        return [wait(child) for child in children]


def fork(work: Callable[[], None]) -> int:
    """Do something in a child process; returns its id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        signal.alarm(60)
        work()
        status = 0
    except SystemExit as error:
        status = error.code
    except UserError as error:
        print(error, file=sys.stderr)
        status = 2
    except BaseException:
        traceback.print_exc()
    os._exit(status)


def wait(child: int) -> int:
    """Exit status of a child, negative for the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.fixture(scope="session")
def tiny_training(tmp_path_factory, tiny_t5) -> TinyTraining:
    """Sixteen utterances to train on, seven to validate on."""
    return TinyTraining(tmp_path_factory.mktemp("tiny_training"), tiny_t5)


@pytest.fixture(scope="session")
def in_child():
    """Function: do something in a child process → its exit status."""
    return lambda work: wait(fork(work))
