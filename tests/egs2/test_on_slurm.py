"""A recipe on a real Slurm, all stages, with a node that dies twice and a job that fails once.

The cluster is that of tests/slurm; what jobs and launcher do in detail is tested there. What is to die waits for its
death at a place where there is something to lose, so that nothing depends on how fast this machine is.
"""

from __future__ import annotations

import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from corpus_fixtures import librispeech
from corpus_harness import TRAINING, TRAINING_WITH_CTC, Recipes, Work

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "slurm"))

from slurm_harness import start_cluster, until  # noqa: E402

# A Python for the recipe. Training is run by an interpreter of its own (not a warm one), so that all of it is on the
# node; the second job of the decoding fails once, and then is the program below.
PYTHON = """#!/bin/sh
case "$*" in
    *slm_espnet.bin.train*)
        PYTHONPATH={folder}/start:$PYTHONPATH exec {interpreter} "$@" ;;
    *slm_espnet.bin.decode*"--job 2 "*)
        [ -e {folder}/failed ] || {{ touch {folder}/failed; echo "the disk is full" >&2; exit 3; }}
        shift 2
        set -- {folder}/decode.py "$@" ;;
esac
exec {warm}/python3 "$@"
"""
# When an interpreter starts: the first time that weights of a second epoch are put in place, wait. The checkpoint is
# still that of the first.
START = """
import os, signal, sys

def wait_once(event, arguments):
    if event == "os.rename" and str(arguments[1]).endswith("/2epoch.pth") and not os.path.exists({mark!r}):
        open({mark!r}, "x").close()
        while True:
            signal.pause()

sys.addaudithook(wait_once)
"""
# Decoding that waits, the first time, when two answers are written.
DECODE = """
import os, runpy, signal
from slm_espnet.decoding.results import JobWriter

add = JobWriter.add

def add_and_wait_once(self, results):
    add(self, results)
    if self.path.read_bytes().count(b"\\n") == 2 and not os.path.exists({mark!r}):
        open({mark!r}, "x").close()
        while True:
            signal.pause()

JobWriter.add = add_and_wait_once
runpy.run_module("slm_espnet.bin.decode", run_name="__main__", alter_sys=True)
"""
OPTIONS = (
    "--local_data_opts", "--common_words 4 --biasing_sizes 2", "--test_sets", "test_clean", "--biasing_dev_sets", "",
    "--slm_args", f"{TRAINING} {TRAINING_WITH_CTC} --max_epoch 3", "--num_procs", "2", "--nj", "2",
    "--inference_nj", "2", "--inference_args", "--max_length 8 --batch_size 1", "--inference_tag", "single",
)  # fmt: skip
DECODING = "decode_single"


@pytest.fixture(scope="module")
def cluster():
    yield from start_cluster()


@pytest.fixture
def doomed(recipes, tmp_path) -> Recipes:
    """Runs recipes with that Python; files `training` and `decoding` of tmp_path say that one waits for its death."""
    for folder in ("bin", "start"):
        (tmp_path / folder).mkdir()
    python = tmp_path / "bin" / "python3"
    python.write_text(PYTHON.format(folder=tmp_path, interpreter=sys.executable, warm=recipes.python))
    python.chmod(0o755)
    (tmp_path / "start" / "sitecustomize.py").write_text(START.format(mark=f"{tmp_path}/training"))
    (tmp_path / "decode.py").write_text(DECODE.format(mark=f"{tmp_path}/decoding"))
    return Recipes(Path(f"{tmp_path}/bin:{recipes.python}"), recipes.foundation)


def test_a_recipe_survives_its_cluster(cluster, recipes, doomed, tmp_path):
    corpus = librispeech.make(tmp_path / "LibriSpeech", utterances=12)
    work = tmp_path / "work"

    def run() -> Work:
        return doomed.run("librispeech", work, options=OPTIONS, check=False, LIBRISPEECH=corpus,
                          cmd_backend="slurm", **cluster.environment)  # fmt: skip

    with ThreadPoolExecutor(1) as executor:
        first = executor.submit(run)
        wait_for(tmp_path / "training", first)
        lose_node_of(cluster, "tiny")  # the name of the training
        said = first.result()
        assert said.status != 0 and "job(s) failed: 2" in said.output, said.output[-4000:]
        assert "    the disk is full" in said.output
        second = executor.submit(run)
        wait_for(tmp_path / "decoding", second)
        lose_node_of(cluster, f"{DECODING}/job.JOB", "2")
        done = second.result()
    assert done.status == 0, done.output[-4000:]
    training = (work / "exp/slm_tiny/train.log").read_text()
    assert training.count("# started") == 2 and "the training was resumed using" in training
    assert "2 of them decoded before" in (work / f"exp/slm_tiny/{DECODING}/log/job.2.log").read_text()
    assert done.scores()[0]["count"] == 12
    undisturbed = recipes.run("librispeech", tmp_path / "local", options=OPTIONS, LIBRISPEECH=corpus)
    for name in ("adapter.safetensors", f"{DECODING}/test_clean/text", f"{DECODING}/test_clean/hypotheses.jsonl"):
        ours, theirs = (folder / "exp/slm_tiny" / name for folder in (work, undisturbed.folder))
        assert ours.read_bytes() == theirs.read_bytes(), name


def wait_for(mark: Path, run: Future[Work]) -> None:
    """Until something waits for its death; the recipe must not have ended before."""
    until(lambda: run.done() or mark.exists())
    assert mark.exists(), run.result().output[-4000:]


def lose_node_of(cluster, name: str, task: str = "N/A") -> None:
    """Switch off the node on which a job runs, or one of an array, and on again."""
    lines = cluster.call("squeue", "--noheader", "--array", "--states=R", "--format=%j %K %N").splitlines()
    (node,) = [line.split()[2] for line in lines if line.split()[:2] == [name, task]]
    cluster.kill_node(node)
    cluster.start_node(node)
