"""A training that is stopped or killed goes on at that step, and ends as if nothing had happened."""

from __future__ import annotations

import errno
import os
import random
import resource
import signal
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch

from slm_espnet.errors import UserError
from slm_espnet.locks import Lock
from slm_espnet.training import epoch, saving, trainer
from slm_espnet.training.groups import SEEN
from slm_espnet.training.resume import CHECKPOINT, PREVIOUS, read_checkpoint, restore_results
from slm_espnet.training.saving import load, save
from slm_espnet.training.signals import STOPPED

STEPS = 5  # of an epoch of the tiny training


@pytest.fixture(scope="module")
def whole(tiny_training, tmp_path_factory) -> Path:
    """A training that nothing disturbed."""
    output_dir = tmp_path_factory.mktemp("whole") / "exp"
    tiny_training.run(output_dir)
    return output_dir


def at_step(number: int, signal_number: int, group: bool = False):
    """Makes a process send itself (or its group) a signal before its step of that number, counted from its start."""

    def prepare(_rank: int) -> None:
        before, steps = epoch.TrainingEpoch._step, iter(range(1000))

        def step(self, *arguments):
            if next(steps) == number:
                (os.killpg if group else os.kill)(os.getpid(), signal_number)
            before(self, *arguments)

        epoch.TrainingEpoch._step = step

    return prepare


def in_validation(_rank: int) -> None:
    """Makes a process send itself SIGUSR1 in its first validation."""

    def validate(session, batches, *arguments):
        os.kill(os.getpid(), signal.SIGUSR1)
        return original(session, batches, *arguments)

    original, trainer.validate = trainer.validate, validate


def assert_same_training(one: Path, other: Path) -> None:
    """Same weights, optimizer, schedule, results and counts of examples; only times may differ."""
    first, second = (read_checkpoint(path)[0] for path in (one, other))
    assert first["model"].keys() == second["model"].keys()
    assert all(torch.equal(value, second["model"][key]) for key, value in first["model"].items())
    for mine, its in zip(*(state["optimizers"][0]["state"].values() for state in (first, second)), strict=True):
        assert all(torch.equal(mine[key], its[key]) for key in mine)
    assert first["schedulers"] == second["schedulers"]
    for number, parts in first["reporter"]["stats"].items():
        for part, values in parts.items():
            found = second["reporter"]["stats"][number][part]
            assert {k: v for k, v in values.items() if "time" not in k} == {
                k: v for k, v in found.items() if "time" not in k
            }
    assert (one / SEEN).read_text(encoding="utf-8") == (other / SEEN).read_text(encoding="utf-8")
    names = sorted(path.name for path in one.glob("*.pth"))
    assert names == sorted(path.name for path in other.glob("*.pth"))
    for name in names:
        if "epoch" in name or "ave" in name:
            mine, its = (torch.load(path / name, weights_only=True) for path in (one, other))
            assert all(torch.equal(mine[key], its[key]) for key in mine), name


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_three_times_ends_as_if_it_had_not_been(tiny_training, whole, tmp_path, seed):
    draw = random.Random(seed)
    kinds = [signal.SIGKILL, signal.SIGTERM, signal.SIGKILL]
    draw.shuffle(kinds)
    output_dir = tmp_path / "exp"
    for kind in kinds:
        step = draw.randrange(1, STEPS)
        status = tiny_training.run_forked(output_dir, "--save_every_steps", 2, prepare=at_step(step, kind))
        assert status == [STOPPED if kind == signal.SIGTERM else -kind]
    assert read_checkpoint(output_dir)[0]["position"] is not None, "within an epoch"
    assert tiny_training.run_forked(output_dir, "--save_every_steps", 2) == [0]
    assert_same_training(whole, output_dir)


def test_asked_to_stop_it_loses_nothing_though_no_checkpoints_are_due(tiny_training, whole, tmp_path):
    output_dir = tmp_path / "exp"
    prepare = at_step(STEPS + 3, signal.SIGUSR1)
    assert tiny_training.run_forked(output_dir, "--save_every_seconds", 0, prepare=prepare) == [STOPPED]
    position = read_checkpoint(output_dir)[0]["position"]
    assert (position["epoch"], position["batches"], position["of"]) == (2, 4, STEPS), "the step was finished"
    tiny_training.run(output_dir)
    assert_same_training(whole, output_dir)


def test_asked_as_a_group_the_processes_that_load_data_go_on_until_the_end(tiny_training, whole, tmp_path):
    output_dir = tmp_path / "exp"

    def prepare(rank: int) -> None:
        os.setpgid(0, 0)
        at_step(2, signal.SIGTERM, group=True)(rank)

    assert tiny_training.run_forked(output_dir, "--num_workers", 1, prepare=prepare) == [STOPPED]
    assert read_checkpoint(output_dir)[0]["position"]["batches"] == 3
    tiny_training.run(output_dir)
    assert_same_training(whole, output_dir)


def test_stopped_in_the_validation_it_validates_again_and_does_not_train_again(tiny_training, whole, tmp_path):
    output_dir = tmp_path / "exp"
    assert tiny_training.run_forked(output_dir, prepare=in_validation) == [STOPPED]
    state = read_checkpoint(output_dir)[0]
    assert state["position"]["running"] is None and state["model"]["training_forwards"] == STEPS
    tiny_training.run(output_dir)
    assert_same_training(whole, output_dir)


def test_time_makes_checkpoints_due(tiny_training, tmp_path):
    prepare = at_step(3, signal.SIGKILL)
    tiny_training.run_forked(tmp_path / "exp", "--save_every_seconds", 1e-9, prepare=prepare)
    assert read_checkpoint(tmp_path / "exp")[0]["position"]["batches"] == 3


def test_going_on_with_other_batches_is_refused(tiny_training, tmp_path, capfd):
    output_dir = tmp_path / "exp"
    tiny_training.run_forked(output_dir, prepare=at_step(2, signal.SIGTERM))
    assert tiny_training.run_forked(output_dir, "--batch_size", 4) == [2]
    assert f"epoch 1 had {STEPS} batches and has 4 now" in capfd.readouterr().err


def test_a_configuration_cut_while_a_training_started_is_written_anew(tiny_training, tmp_path):
    output_dir = tmp_path / "exp"
    tiny_training.run_forked(output_dir, prepare=at_step(2, signal.SIGTERM))
    whole = (output_dir / "config.yaml").read_text(encoding="utf-8")
    for cut in ("", whole[: whole.index("weights_sha256") + 30], whole[: whole.index("llm_conf") + 3] + ": ["):
        (output_dir / "config.yaml").write_text(cut, encoding="utf-8")
        assert tiny_training.run_forked(output_dir, prepare=at_step(0, signal.SIGTERM)) == [STOPPED]
        assert (output_dir / "config.yaml").read_text(encoding="utf-8") == whole


def test_the_checkpoint_knows_its_foundations(tiny_training, tmp_path):
    output_dir = tmp_path / "exp"
    tiny_training.run_forked(output_dir, prepare=at_step(2, signal.SIGTERM))
    (output_dir / "config.yaml").unlink()
    state = read_checkpoint(output_dir)[0]
    fingerprint, identity = state["foundations"]["encoding_fingerprint"], state["foundations"]["llm_identity"]
    changes = [
        ({"encoding_fingerprint": {**fingerprint, "frame_shift": 0.08}}, "frame_shift: expected 0.08, found 0.04"),
        ({"llm_identity": {**identity, "weights_sha256": "x"}}, "belongs to the LLM"),
    ]
    for changed, message in changes:
        save({**state, "foundations": changed}, output_dir / CHECKPOINT)
        with pytest.raises(UserError, match=message):
            tiny_training.run(output_dir)


# Files


def test_killed_at_any_moment_of_saving_there_is_a_whole_checkpoint(tmp_path, in_child):
    def killed(call: int) -> bool:
        """Save anew and be killed before the system call of that number; whether there was one."""
        calls = iter(range(100))

        def trapped(function):
            def run(*arguments, **options):
                if next(calls) == call:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*arguments, **options)

            return run

        for name in ("link", "replace", "fsync", "open", "unlink"):
            setattr(os, name, trapped(getattr(os, name)))
        saving.open = trapped(open)
        save({"n": 3}, tmp_path / CHECKPOINT, tmp_path / PREVIOUS)
        return False

    for n in (1, 2):
        save({"n": n}, tmp_path / CHECKPOINT, tmp_path / PREVIOUS)
    kept = {path: path.read_bytes() for path in tmp_path.iterdir()}
    found = []
    while in_child(lambda: killed(len(found))) == -signal.SIGKILL:
        found.append(read_checkpoint(tmp_path)[0]["n"])
        for path, content in kept.items():
            path.write_bytes(content)
    assert len(found) >= 5 and set(found) == {2, 3}, "the old one, then the new one, and nothing between"


def test_temporary_files_of_a_killed_training_go(tmp_path):
    for n in (1, 2):
        save({"n": n}, tmp_path / CHECKPOINT, tmp_path / PREVIOUS)
    (tmp_path / PREVIOUS).unlink()
    os.link(tmp_path / CHECKPOINT, tmp_path / PREVIOUS)  # killed between the two renamings
    save({"n": 3}, tmp_path / CHECKPOINT, tmp_path / PREVIOUS)
    saving.link(tmp_path / "latest.pth", CHECKPOINT)
    kept = {CHECKPOINT, PREVIOUS, "latest.pth"}
    assert set(os.listdir(tmp_path)) == kept
    saving.temporary_beside(tmp_path / CHECKPOINT).touch()  # killed while it was written
    saving.discard_left(tmp_path)
    assert set(os.listdir(tmp_path)) == kept
    assert [load(tmp_path / name)["n"] for name in (CHECKPOINT, PREVIOUS)] == [3, 2]


def test_a_full_disk_is_said_and_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / CHECKPOINT
    save({"n": 1}, path)
    with monkeypatch.context() as full:
        temporary = tmp_path / "temporary"
        temporary.symlink_to("/dev/full")
        full.setattr(saving, "temporary_beside", lambda _: temporary)
        with pytest.raises(UserError, match=f"{CHECKPOINT} cannot be written: the disk is full.*Make room.*--resume"):
            save({"n": 2}, path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
        with pytest.raises(UserError, match=os.strerror(errno.EFBIG)):
            save({"n": torch.zeros(3000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert read_checkpoint(tmp_path)[0] == {"n": 1} and list(tmp_path.iterdir()) == [path]


def test_a_checkpoint_of_espnets_own_trainer_can_be_gone_on_with(tmp_path):
    from espnet2.train.reporter import Reporter

    stats = {1: {"valid": {"loss": np.float64(0.5), "time": timedelta(seconds=90), "total_count": 4}}}
    torch.save({"reporter": {"epoch": 1, "stats": stats}}, tmp_path / CHECKPOINT)
    reporter = Reporter()
    restore_results(reporter, read_checkpoint(tmp_path)[0]["reporter"])
    assert reporter.get_value("valid", "loss") == 0.5 and "1 minute and 30 seconds" in reporter.log_message()


def test_a_checkpoint_runs_no_code(tmp_path):
    class Harmful:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/harmed",)

    torch.save({"model": Harmful()}, tmp_path / CHECKPOINT)
    with pytest.raises(UserError, match="cut or damaged"):
        read_checkpoint(tmp_path)
    assert not (tmp_path / "harmed").exists()


# One training at a time


def test_a_second_training_in_the_same_place_is_refused(tiny_training, tmp_path):
    output_dir = tmp_path / "exp"
    output_dir.mkdir()
    with Lock(output_dir / ".lock", "the training"):
        with pytest.raises(UserError, match=rf"the training is being written by .*\(process {os.getpid()} on "):
            tiny_training.run(output_dir)
        assert [path.name for path in output_dir.iterdir()] == [".lock"], "the second one wrote nothing"


def test_the_lock_ends_with_its_process_though_that_left_others_behind(tmp_path, in_child):
    read, write = os.pipe()

    def hold() -> None:
        lock = Lock(tmp_path / "lock", "it")  # noqa: F841
        if os.fork() == 0:  # as data is loaded in processes of its own
            os.write(write, f"{os.getpid()}\n".encode())
            signal.pause()
        signal.pause()

    holder = os.fork()
    if holder == 0:
        signal.alarm(30)
        hold()
    orphan = int(os.read(read, 100))
    try:
        with pytest.raises(UserError, match=f"process {holder} on"):
            Lock(tmp_path / "lock", "it")
        os.kill(holder, signal.SIGKILL)
        os.waitpid(holder, 0)
        Lock(tmp_path / "lock", "it").release()
    finally:
        os.kill(orphan, signal.SIGKILL)


def test_a_file_system_without_locks_is_warned_of_and_used(tmp_path, monkeypatch, capsys):
    def flock(*_arguments):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", flock)
    with Lock(tmp_path / "lock", "it"):
        assert "no locks" in capsys.readouterr().err
