"""Several processes are one training: the same gradient, the same results, one writer, and they stop together."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from slm_espnet.errors import UserError
from slm_espnet.training import epoch, launch, session
from slm_espnet.training.distributed import Processes
from slm_espnet.training.groups import SEEN
from slm_espnet.training.launch import Launch, check_device_map, read_launch
from slm_espnet.training.resume import read_checkpoint
from slm_espnet.training.signals import STOPPED

# one step of plain gradient descent whose length is the gradient's: weights tell what it was
ONE_STEP = ("--optim", "sgd", "--optim_conf", "lr=1.0", "--optim_conf", "momentum=0.0", "--scheduler", "none",
            "--grad_clip", 1e9, "--max_epoch", 1, "--model_conf", "ctc_only_steps=0", "--adapter_conf", "dropout=0.0",
            "--adapter_conf", "input_dropout=0.0")  # fmt: skip


def weights(output_dir: Path, number: int = 1) -> dict[str, torch.Tensor]:
    """Trained weights after an epoch."""
    return torch.load(output_dir / f"{number}epoch.pth", weights_only=True)


def valid_stats(output_dir: Path, number: int = 1) -> dict[str, float]:
    """Results of a validation but for times."""
    values = read_checkpoint(output_dir)[0]["reporter"]["stats"][number]["valid"]
    return {name: value for name, value in values.items() if name not in ("time", "total_count")}


def without_step(*options):
    """The weights that ONE_STEP begins with."""
    return (*ONE_STEP, "--optim_conf", "lr=0.0", *options)


def test_batch_accumulation_and_processes_give_one_gradient(tiny_training, tmp_path):
    tiny_training.run(tmp_path / "before", *without_step("--batch_size", 16))
    tiny_training.run(tmp_path / "batch", *ONE_STEP, "--batch_size", 16)
    tiny_training.run(tmp_path / "accumulated", *ONE_STEP, "--batch_size", 3, "--accum_grad", 6)
    shapes = {"processes": (16, 1), "both": (4, 4)}
    for name, (size, accumulated) in shapes.items():
        options = (*ONE_STEP, "--batch_size", size, "--accum_grad", accumulated)
        assert tiny_training.run_forked(tmp_path / name, *options, processes=2) == [0, 0]
    before, reference = weights(tmp_path / "before"), weights(tmp_path / "batch")
    names = [name for name in reference if name.startswith("adapter.")]
    assert any(not torch.equal(before[name], reference[name]) for name in names)
    for shape in ("accumulated", *shapes):
        found = weights(tmp_path / shape)
        for name in names:
            torch.testing.assert_close(
                found[name] - before[name], reference[name] - before[name], rtol=1e-4, atol=1e-6, msg=f"{shape} {name}"
            )
    stats = [read_checkpoint(tmp_path / name)[0]["reporter"]["stats"][1]["train"] for name in ("batch", *shapes)]
    for name in ("loss_ce", "grad_norm", "acc"):
        assert [values[name] for values in stats] == pytest.approx([stats[0][name]] * 3, rel=1e-4), name


def test_left_over_batches_make_a_step_of_their_own(tiny_training, tmp_path):
    tiny_training.run(tmp_path / "exp", "--batch_size", 3, "--accum_grad", 2, "--max_epoch", 2)
    state = read_checkpoint(tmp_path / "exp")[0]
    steps = {int(moments["step"]) for moments in state["optimizers"][0]["state"].values()}
    assert steps == {6}, "of five batches two, two and one, in each of two epochs"
    assert state["schedulers"][0]["total_steps"] == 6, "and the schedule knows"
    assert state["model"]["training_forwards"] == 10


def test_validation_is_the_same_for_any_number_of_processes(tiny_training, tmp_path):
    options = without_step("--valid_batch_size", 2)
    tiny_training.run(tmp_path / "one", *options)
    assert tiny_training.run_forked(tmp_path / "two", *options, processes=2) == [0, 0]
    one, two = (valid_stats(tmp_path / name) for name in ("one", "two"))
    assert one == two and {"loss_kl", "loss_ctc", "loss_ce_shuffled", "norm_ratio"} <= one.keys()


def stop_second(step_number: int, signal_number: int):
    """Makes the second process send itself a signal before a step, and fail where it would write a file."""

    def prepare(rank: int) -> None:
        if rank == 1:
            session.save = session.link = session.average_nbest_models = epoch.report_seen = None
        before, steps = epoch.TrainingEpoch._step, iter(range(1000))

        def step(self, *arguments):
            if rank == 1 and next(steps) == step_number:
                os.kill(os.getpid(), signal_number)
            before(self, *arguments)

        epoch.TrainingEpoch._step = step

    return prepare


def test_processes_stop_together_and_go_on_exactly(tiny_training, tmp_path):
    assert tiny_training.run_forked(tmp_path / "whole", processes=2) == [0, 0]
    prepare = stop_second(7, signal.SIGTERM)
    assert tiny_training.run_forked(tmp_path / "parts", processes=2, prepare=prepare) == [STOPPED] * 2
    position = read_checkpoint(tmp_path / "parts")[0]["position"]
    assert (position["epoch"], position["batches"], len(position["processes"])) == (2, 3, 2)
    assert tiny_training.run_forked(tmp_path / "parts", processes=2) == [0, 0]
    whole, parts = (weights(tmp_path / name, 3) for name in ("whole", "parts"))
    assert all(torch.equal(parts[key], whole[key]) for key in whole)
    seen = [(tmp_path / name / SEEN).read_text(encoding="utf-8") for name in ("whole", "parts")]
    assert seen[0] == seen[1]
    counts = [int(line.split("\t")[4]) for line in seen[0].splitlines()[1:]]
    assert sum(counts) == 3 * 16, "every example once in each epoch, on one of the processes"


def test_another_number_of_processes_goes_on_at_the_same_place(tiny_training, tmp_path, in_child):
    prepare = stop_second(2, signal.SIGTERM)
    assert tiny_training.run_forked(tmp_path / "exp", processes=2, prepare=prepare) == [STOPPED] * 2
    tiny_training.run(tmp_path / "exp")
    counts = [int(line.split("\t")[4]) for line in (tmp_path / "exp" / SEEN).read_text().splitlines()[1:]]
    assert sum(counts) == 3 * 16


def test_gradients_are_summed_and_what_nobody_used_stays_without(tmp_path, in_child):
    def child(rank: int) -> None:
        torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/m", rank=rank, world_size=2)
        processes = Processes.of_training()
        first, second, third = (torch.nn.Parameter(torch.zeros(2, 2)) for _ in range(3))
        first.grad = torch.full((2, 2), float(rank + 1))
        if rank:
            second.grad = torch.ones(2, 2)
        processes.sum_gradients([first, second, third])
        assert first.grad.tolist() == [[3.0, 3.0]] * 2 and second.grad.tolist() == [[1.0, 1.0]] * 2
        assert third.grad is None and processes.gather(rank) == [0, 1]

    other = os.fork()
    if other == 0:
        signal.alarm(30)
        child(1)
        os._exit(0)
    assert in_child(lambda: child(0)) == 0
    assert os.waitpid(other, 0)[1] == 0


# Starting them


@pytest.mark.parametrize(
    ("options", "environment", "expected"),
    [
        ("--ngpu 0", {}, None),
        ("--ngpu 1", {}, None),
        ("--ngpu 2 --gpus_per_process 2", {}, None),
        ("--ngpu 2", {"WORLD_SIZE": "2"}, None),  # torchrun has started it
        ("--ngpu 2", {}, Launch(2, (("0",), ("1",)), 1, 0)),
        ("--ngpu 4 --gpus_per_process 2", {"CUDA_VISIBLE_DEVICES": "4,5,6,7"},
         Launch(2, (("4", "5"), ("6", "7")), 1, 0)),
        ("--num_procs 3", {}, Launch(3, (), 1, 0)),
        ("--ngpu 1 --num_nodes 2", {"MASTER_ADDR": "a", "MASTER_PORT": "1", "SLURM_PROCID": "1"},
         Launch(1, (("0",),), 2, 1)),
    ],
)  # fmt: skip
def test_how_many_processes_are_started(options, environment, expected):
    assert read_launch(options.split(), environment) == expected


SPLIT = {"device_map": "auto"}


@pytest.mark.parametrize(
    ("llm_conf", "ngpu", "per_process", "visible", "message"),
    [
        (SPLIT, 1, 1, 8, "deal the LLM out to all 8 GPUs that this process sees, but only 1 .* CUDA_VISIBLE_DEVICES"),
        (SPLIT | {"max_memory": {0: "9GiB", 2: "9GiB"}}, 1, 2, 4, "all 4 GPUs that this process sees, but only 2"),
        (SPLIT, 0, 1, 2, "--ngpu 0 trains on the CPU"),
        ({}, 4, 2, 2, r"--gpus_per_process 2 needs llm_conf: \{device_map: auto\}"),
    ],
)
def test_a_language_model_is_not_dealt_out_to_gpus_of_others(llm_conf, ngpu, per_process, visible, message):
    with pytest.raises(UserError, match=message):
        check_device_map(llm_conf, ngpu, per_process, visible)


@pytest.mark.parametrize(
    ("llm_conf", "ngpu", "per_process", "visible"),
    [
        (SPLIT, 1, 2, 2),  # a process that bin.train has started
        (SPLIT | {"max_memory": {0: "9GiB", 1: "9GiB"}}, 2, 2, 8),
        (SPLIT, 0, 1, 0),  # no GPU at all
        ({}, 1, 1, 8),
        ({}, 0, 1, 8),
    ],
)
def test_a_language_model_on_the_gpus_of_its_process_is_let_be(llm_conf, ngpu, per_process, visible):
    check_device_map(llm_conf, ngpu, per_process, visible)


@pytest.mark.parametrize(
    ("options", "environment", "message"),
    [
        ("--ngpu 3 --gpus_per_process 2", {}, "no multiple of --gpus_per_process 2"),
        ("--ngpu 2 --num_procs 2", {}, "--num_procs is for training without GPUs"),
        ("--ngpu 2", {"CUDA_VISIBLE_DEVICES": "0"}, "CUDA_VISIBLE_DEVICES names only 0"),
        ("--num_procs 0", {}, "--num_procs takes a whole number from 1, not '0'"),
        ("--ngpu 1 --num_nodes 2", {"NODE_RANK": "0"}, "needs MASTER_ADDR, MASTER_PORT in the environment"),
        ("--ngpu 1 --num_nodes 2", {"MASTER_ADDR": "a", "MASTER_PORT": "1", "NODE_RANK": "2"}, "this node is number 2"),
    ],
)
def test_impossible_numbers_of_processes_are_one_line(options, environment, message):
    with pytest.raises(UserError, match=message):
        read_launch(options.split(), environment)


def test_the_number_may_stand_in_the_configuration(tmp_path):
    (tmp_path / "train.yaml").write_text("num_procs: 2\nmax_epoch: 3\n", encoding="utf-8")
    assert read_launch(["--config", str(tmp_path / "train.yaml")], {}).processes == 2
    assert read_launch(["--config", str(tmp_path / "train.yaml"), "--num_procs", "1"], {}) is None


def test_ranks_count_over_nodes_and_each_process_sees_its_gpus():
    places = [Launch(2, (("0", "1"), ("2", "3")), 2, 1).environment(local) for local in range(2)]
    assert [place["RANK"] for place in places] == ["2", "3"] and places[0]["WORLD_SIZE"] == "4"
    assert [place["CUDA_VISIBLE_DEVICES"] for place in places] == ["0,1", "2,3"] and places[1]["LOCAL_RANK"] == "0"


@pytest.mark.parametrize(("given", "each"), [("6", "3"), ("1", "1"), (None, "2")])
def test_threads_of_the_job_are_shared_by_its_processes(monkeypatch, given, each):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(4)))
    if given is not None:  # as utils/launch.py sets it: --train_num_threads times the number of processes
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert Launch(2, (), 1, 0).environment(1)["OMP_NUM_THREADS"] == each


STAND_IN = """
import json, os, signal, sys
place = {name: os.environ[name] for name in ("RANK", "WORLD_SIZE")}
with open(sys.argv[1] + place["RANK"], "w") as file:
    json.dump({**place, "arguments": sys.argv[2:]}, file)
if os.environ.get("WAIT"):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(85))
    open(sys.argv[1] + ".ready", "wr"[place["RANK"] == "0"]).close()  # both are there
    if place["RANK"] == "0":
        os.kill(os.getppid(), signal.SIGTERM)  # as a scheduler asks the process that it knows
    signal.pause()
sys.exit(int(os.environ.get("STATUS_" + place["RANK"], "0")))
"""


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ({}, 0),
        ({"STATUS_0": "85", "STATUS_1": "85"}, STOPPED),
        ({"STATUS_1": "2", "STATUS_0": "1"}, 2),  # the error that has a message for the user
        ({"STATUS_1": "3"}, 3),
        ({"WAIT": "1"}, STOPPED),
    ],
)
def test_signals_go_to_the_processes_and_their_status_comes_back(tmp_path, monkeypatch, told, status):
    script = tmp_path / "stand_in.py"
    script.write_text(STAND_IN, encoding="utf-8")
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    os.mkfifo(tmp_path / "place.ready")
    started = launch.subprocess.Popen

    def stand_in(command, **options):
        assert command[1:3] == ["-m", "slm_espnet.bin.train"]
        return started([sys.executable, "-S", script, f"{tmp_path}/place", *command[3:]], **options)

    popen = SimpleNamespace(Popen=stand_in, DEVNULL=subprocess.DEVNULL)
    monkeypatch.setattr(launch, "subprocess", popen)
    assert launch.run(Launch(2, (), 1, 0), ["--seed", "3"]) == status
    places = [json.loads((tmp_path / f"place{rank}").read_text()) for rank in range(2)]
    assert [place["RANK"] for place in places] == ["0", "1"]
    assert places[0]["arguments"][:6] == ["--seed", "3", "--ngpu", "0", "--dist_backend", "gloo"]
    assert places[0]["arguments"][-1] == places[1]["arguments"][-1], "they meet in one place"
