"""A recipe on a real Slurm, all stages, with a node that dies twice and a job that fails once.

The cluster is that of tests/slurm; what jobs and launcher do in detail is tested there.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from corpus_fixtures import librispeech
from corpus_harness import TRAINING, TRAINING_WITH_CTC, Recipes, Work

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "slurm"))

from slurm_harness import start_cluster, until  # noqa: E402

# A Python that fails once, in the second job of the decoding.
PYTHON = """#!/bin/sh
case "$*" in
    *slm_espnet.bin.decode*"--job 2 "*)
        [ -e {folder}/failed ] || {{ touch {folder}/failed; echo "the disk is full" >&2; exit 3; }} ;;
esac
exec {python}/python3 "$@"
"""
# Long enough to be interrupted.
OPTIONS = (
    "--local_data_opts", "--common_words 4 --biasing_sizes 2", "--test_sets", "test_clean", "--biasing_dev_sets", "",
    "--slm_args", f"{TRAINING} {TRAINING_WITH_CTC} --max_epoch 12", "--nj", "2", "--inference_nj", "2",
    "--inference_args", "--max_length 200 --max_length_ratio 0 --batch_size 1", "--inference_tag", "slow",
)  # fmt: skip
DECODING = "decode_slow"


@pytest.fixture(scope="module")
def cluster():
    yield from start_cluster()


@pytest.fixture
def failing_once(recipes, tmp_path) -> Recipes:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").write_text(PYTHON.format(folder=tmp_path, python=recipes.python))
    (tmp_path / "bin" / "python3").chmod(0o755)
    return Recipes(Path(f"{tmp_path}/bin:{recipes.python}"), recipes.foundation)


def test_a_recipe_survives_its_cluster(cluster, recipes, failing_once, tmp_path):
    corpus = librispeech.make(tmp_path / "LibriSpeech", utterances=12)
    work = tmp_path / "work"

    def run(*options: str) -> Work:
        return failing_once.run("librispeech", work, options=(*OPTIONS, *options), check=False, LIBRISPEECH=corpus,
                                cmd_backend="slurm", **cluster.environment)  # fmt: skip

    with ThreadPoolExecutor(1) as executor:
        first = executor.submit(run)
        until(lambda: first.done() or (work / "exp/slm_tiny/checkpoint.pth").exists())
        assert not first.done(), first.result().output[-4000:]
        lose_node_of(cluster, "tiny")  # the name of the training
        said = first.result()
        assert said.status != 0 and "job(s) failed: 2" in said.output and "    the disk is full" in said.output
        second = executor.submit(run)
        part = f"exp/slm_tiny/{DECODING}/test_clean/hypotheses.2.jsonl"
        until(lambda: second.done() or ((work / part).exists() and (work / part).stat().st_size))
        assert not second.done(), second.result().output[-4000:]
        lose_node_of(cluster, f"{DECODING}/job.JOB")
        done = second.result()
    assert done.status == 0, done.output[-4000:]
    assert (work / "exp/slm_tiny/train.log").read_text().count("# started") == 2
    assert "of them decoded before" in (work / f"exp/slm_tiny/{DECODING}/log/job.2.log").read_text()
    undisturbed = recipes.run("librispeech", tmp_path / "local", options=OPTIONS, LIBRISPEECH=corpus)
    for name in ("adapter.safetensors", f"{DECODING}/test_clean/text"):
        ours, theirs = (folder / "exp/slm_tiny" / name for folder in (work, undisturbed.folder))
        assert ours.read_bytes() == theirs.read_bytes(), name
    assert done.scores()[0]["count"] == 12


def lose_node_of(cluster, name: str) -> None:
    """Switch off the node on which a job runs, and on again."""
    lines = cluster.call("squeue", "--noheader", "--states=R", "--format=%j %N").splitlines()
    (node,) = {line.split()[1] for line in lines if line.split()[0] == name}
    cluster.kill_node(node)
    cluster.start_node(node)
