"""The launcher on a real Slurm: what jobs get, what failures look like, and what is picked up again.

Commands are small shell scripts. What a real cluster does not do in seconds (time limits, memory limits, an
unresponsive controller, a slow filesystem) is in tests/utils/test_launch_slurm.py, with made-up answers.
"""

from __future__ import annotations

import shlex
import signal

import pytest
from slurm_harness import until

# A program that stops in good order when it is told to, as the training does.
GOOD_ORDER = "trap 'echo saved; exit 85' USR1 TERM; echo run >>runs; while [ ! -e enough ]; do sleep 0.1; done"


def state(cluster, job: str) -> str:
    return cluster.call("squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%T").strip()


def test_jobs_run_as_they_would_here(launch, tmp_path):
    odd = "a b  'c' \"d\" $HOME * ; | %"
    script = 'printf "%s" "$MINE$1" >out.JOB; echo "$OMP_NUM_THREADS [$CUDA_VISIBLE_DEVICES$SLURM_MEM_PER_CPU] $PWD"'
    # as from inside of a job: its own limits are not the new ones'
    one = launch("--num_threads", "2", "--mem", "100M", "JOB=2:4", "log/x.JOB.log", "sh", "-c", script, "sh", odd,
                 MINE="x  y", SLURM_MEM_PER_CPU="99999", SLURM_JOB_ID="7", CUDA_VISIBLE_DEVICES="5")  # fmt: skip
    assert one.end() == 0, one.said
    assert [(tmp_path / f"out.{n}").read_text() for n in (2, 3, 4)] == [f"x  y{odd}"] * 3
    log = (tmp_path / "log/x.3.log").read_text()
    assert f"2 [] {tmp_path}\n# ended with status 0" in log
    assert sorted(path.name for path in (tmp_path / "log").iterdir()) == [f"x.{n}.log" for n in (2, 3, 4)]


def test_jobs_have_the_environment_whatever_the_configuration_exports(launch, tmp_path):
    (tmp_path / "mine.conf").write_text("command sbatch --export=PATH\noption num_threads=* -c $0\n")
    one = launch("--config", "mine.conf", "x.log", "sh", "-c", 'echo "mine: $MINE"', MINE="a  b")
    assert one.end() == 0 and "mine: a  b\n" in (tmp_path / "x.log").read_text()


def test_a_task_that_fails_once_is_named_and_run_again_alone(launch, cluster, tmp_path):
    script = 'echo ran >>ran.JOB; [ JOB != 2 ] || [ -e cured ] || { echo "job JOB is broken"; exit 3; }'
    one = launch("JOB=1:3", "log/x.JOB.log", "sh", "-c", script)
    assert one.end() == 1
    assert "1 of 3 job(s) failed: 2" in one.said and "log/x.2.log (status 3):\n    job 2 is broken" in one.said
    (tmp_path / "cured").touch()
    again = shlex.split(one.said.strip().splitlines()[-1])
    assert "JOB=2" in again and again[1:3] == ["--backend", "slurm"]
    assert launch(*again[3:]).end() == 0
    assert [(tmp_path / f"ran.{n}").read_text().count("ran") for n in (1, 2, 3)] == [1, 2, 1]


def test_gpus_and_more_jobs_than_an_array_may_have(launch, tmp_path):
    two = launch("--gpu", "2", "gpu.log", "sh", "-c", 'echo "gpus $CUDA_VISIBLE_DEVICES"')
    script = "mkdir taken || exit 4; echo JOB >>ran; rmdir taken"  # fails when two run at once
    many = launch("--max_jobs_run", "1", "JOB=9:14", "log/x.JOB.log", "sh", "-c", script)
    assert many.end() == 0, many.said
    assert (tmp_path / "ran").read_text().split() == [str(n) for n in range(9, 15)]
    assert many.said.count("handed to Slurm") == 2
    assert two.end() == 0 and "\ngpus 0,1\n" in (tmp_path / "gpu.log").read_text()


def test_several_nodes_meet(launch, tmp_path):
    script = 'echo "$SLURM_PROCID of $SLURM_NNODES on $SLURMD_NODENAME at $MASTER_ADDR:$MASTER_PORT"'
    one = launch("--num_nodes", "2", "x.log", "sh", "-c", script)
    assert one.end() == 0, one.said
    said = sorted(line.split(" at ") for line in (tmp_path / "x.log").read_text().splitlines() if " of 2 on " in line)
    (first, here), (second, there) = said
    assert (first, second) == ("0 of 2 on n1", "1 of 2 on n2")
    assert here == there and here.startswith("127.0.0.1:1")


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (("--gpu", "9"), "no node has 9 GPU(s), 1 CPU(s): `sinfo"),
        (("--mem", "900G"), "no node has 1 CPU(s), 900 GB of memory"),
        (("--partition", "nowhere"), "there is no such partition: `sinfo -s` lists them"),
    ],
)
def test_refusals_come_with_the_cure(launch, tmp_path, options, what):
    one = launch(*options, "x.log", "true")
    assert one.end() == 2
    assert "Slurm refuses the jobs: " in one.said and what in one.said and "the command was: sbatch " in one.said
    assert not (tmp_path / ".launch").exists()


def test_what_would_wait_for_ever_is_cancelled(launch, cluster):
    one = launch("--partition", "short", "--time", "1:00:00", "x.log", "true")
    failing = launch("fail.log", "sh", "-c", "while [ ! -e go ]; do sleep 0.1; done; exit 1")
    waiting = launch("--dependency", f"afterok:{failing.job}", "wait.log", "true")
    until(lambda: "Dependency" in cluster.call("squeue", "--noheader", "--format=%r"))
    (failing.folder / "go").touch()
    assert one.end() == 1
    assert "the partition does not allow 1 CPU(s), 1:00:00 of time" in one.said and "shorter --time" in one.said
    assert failing.end() == 1
    assert waiting.end() == 1 and "the job that it was to wait for has failed" in waiting.said


def test_an_interrupt_and_a_killed_launcher_leave_no_jobs(launch, cluster, tmp_path):
    script = "echo run >>runs.JOB; while [ ! -e enough ]; do sleep 0.1; done"
    command = ("JOB=1:2", "x.JOB.log", "sh", "-c", script)
    one = launch(*command)
    one.file("runs.1")
    twin = launch(*command)
    assert twin.end() == 2 and "a launcher is running these jobs already" in twin.said
    job = one.job
    one.process.send_signal(signal.SIGTERM)
    assert one.end() == 130 and "interrupted" in one.said
    assert set(state(cluster, job).split()) == {"CANCELLED"}
    assert not (tmp_path / ".launch").exists()
    killed = launch(*command)
    killed.file("runs.2", 2)
    job = killed.job
    killed.process.kill()
    killed.process.wait()
    (tmp_path / "enough").touch()
    after = launch(*command)
    assert after.end() == 0, after.said
    assert f"cancelling jobs of a launcher that was killed: {job}" in after.said


def test_a_job_that_was_cancelled_by_hand_is_not_run_again(launch, cluster, tmp_path):
    one = launch("x.log", "bash", "-c", GOOD_ORDER)
    one.file("runs")
    cluster.call("scancel", one.job)
    assert one.end() == 1 and "was cancelled by somebody (scancel)" in one.said
    assert (tmp_path / "runs").read_text() == "run\n" and "\nsaved\n" in (tmp_path / "x.log").read_text()


def test_the_signal_before_the_time_limit_reaches_the_command_which_goes_on_later(launch, cluster, tmp_path):
    trained = launch("--time", "9:00", "train.log", "bash", "-c", GOOD_ORDER)
    deaf = launch("--time", "9:00", "deaf.log", "sh", "-c", "echo run >>deaf; while [ ! -e go ]; do sleep 0.1; done")
    several = launch("--num_nodes", "2", "--time", "9:00", "two.log", "bash", "-c", GOOD_ORDER.replace("runs", "two"))
    trained.file("runs"), deaf.file("deaf"), several.file("two", 2)
    jobs = [path.read_text().strip() for path in tmp_path.glob(".launch/*/jobs")]
    assert len(jobs) == 3
    for job in jobs:  # what --signal=B:USR1@120 does two minutes before the end
        cluster.call("scancel", "--batch", "--signal=USR1", job)
    for name, nodes in (("train.log", 1), ("two.log", 2)):  # one that saw `enough` first would end without saving
        until(lambda path=tmp_path / name, nodes=nodes: path.read_text().count("saved\n") == nodes)
    (tmp_path / "enough").touch()
    assert trained.end() == 0, trained.said
    assert several.end() == 0, several.said
    (tmp_path / "go").touch()
    assert deaf.end() == 0, deaf.said
    log = (tmp_path / "train.log").read_text()
    assert (tmp_path / "runs").read_text() == "run\n" * 2
    assert log.count("# started") == 2 and log.index("\nsaved\n") < log.index("# ended with status 85")
    assert (tmp_path / "two").read_text() == "run\n" * 4 and (tmp_path / "two.log").read_text().count("saved\n") == 2
    assert "takes no USR1 and goes on" in (tmp_path / "deaf.log").read_text()


def test_jobs_that_had_to_make_room_come_back(launch, cluster, tmp_path):
    script = "echo run >>runs.JOB; echo part; while [ ! -e enough ]; do sleep 0.1; done"
    queued = launch("--num_threads", "4", "JOB=1", "a/x.JOB.log", "sh", "-c", script.replace("JOB", "a"))
    lost = launch("--num_threads", "4", "--partition", "cancelled", "JOB=1", "b/x.JOB.log", "sh", "-c",
                  script.replace("JOB", "b"))  # fmt: skip
    queued.file("runs.a"), lost.file("runs.b")
    both = "touch here.JOB; while [ ! -e here.1 ] || [ ! -e here.2 ]; do sleep 0.1; done; touch enough"
    urgent = launch("--num_threads", "4", "--partition", "urgent", "JOB=1:2", "c/x.JOB.log", "sh", "-c", both)
    assert urgent.end() == 0, urgent.said
    assert queued.end() == 0, queued.said
    assert lost.end() == 0, lost.said
    for name, folder in (("runs.a", "a"), ("runs.b", "b")):
        assert (tmp_path / name).read_text() == "run\n" * 2
        assert (tmp_path / folder / "x.1.log").read_text().count("part\n") == 2
    assert "was lost or taken away; submitted again" in lost.said


def test_a_node_that_dies_takes_nothing_with_it(launch, cluster, tmp_path):
    script = ("trap 'echo JOB >>heard' HUP TERM; echo $SLURMD_NODENAME >>ran.JOB; [ $(wc -l <ran.JOB) -ge 2 ] || "
              "while [ ! -e enough ]; do sleep 0.1; done")  # fmt: skip
    array = launch("--num_threads", "2", "JOB=1:4", "log/x.JOB.log", "sh", "-c", script)
    for number in range(1, 5):
        array.file(f"ran.{number}")
    cluster.kill_node("n2")
    (tmp_path / "enough").touch()
    cluster.start_node("n2")
    assert array.end() == 0, array.said
    ran = [(tmp_path / f"ran.{number}").read_text().split() for number in range(1, 5)]
    assert sorted(len(nodes) for nodes in ran) == [1, 1, 2, 2]
    assert all(nodes[0] == ("n2" if len(nodes) == 2 else "n1") for nodes in ran)
    assert not (tmp_path / "heard").exists(), "power cuts give no signals"
