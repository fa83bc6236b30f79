"""The launcher: job numbers, logs, reports of what failed, GPUs, limits, interrupts."""

import os
import select
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest

LAUNCH = str(Path(__file__).resolve().parents[2] / "utils" / "launch.py")


def launch(*arguments, cwd, **environment):
    return subprocess.run(
        [LAUNCH, *arguments], cwd=cwd, capture_output=True, text=True, env={**os.environ, **environment}
    )


def test_every_job_gets_its_number_and_log(tmp_path):
    done = launch("--mem", "1M", "JOB=2:4", "log/x.JOB.log", "sh", "-c", "echo number JOB > out.JOB; pwd", cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == ""
    assert [(tmp_path / f"out.{n}").read_text() for n in (2, 3, 4)] == [f"number {n}\n" for n in (2, 3, 4)]
    log = (tmp_path / "log/x.3.log").read_text()
    assert str(tmp_path) in log and "# ended with status 0" in log and not (tmp_path / "out.1").exists()


def test_arguments_reach_the_command_unchanged(tmp_path):
    odd = "a b  'c' \"d\" $HOME * ; |"
    assert launch("x.log", "sh", "-c", 'printf %s "$1" > out', "sh", odd, cwd=tmp_path).returncode == 0
    assert (tmp_path / "out").read_text() == odd


def test_failures_are_reported_and_the_rerun_command_runs_only_them(tmp_path):
    script = 'echo ran >> ran.JOB; case JOB in 2|3|5) test -f cured || { echo "job JOB is broken"; exit 3; } ;; esac'
    done = launch("--max_jobs_run", "2", "JOB=1:6", "log/x.JOB.log", "sh", "-c", script, cwd=tmp_path)
    assert done.returncode == 1
    assert "3 of 6 job(s) failed: 2, 3, 5" in done.stderr
    assert "log/x.2.log (status 3):\n    job 2 is broken" in done.stderr
    again = done.stderr.strip().splitlines()[-1].strip()
    assert "JOB=2:3,5" in again
    (tmp_path / "cured").touch()
    assert subprocess.run(shlex.split(again), cwd=tmp_path).returncode == 0
    counts = [len((tmp_path / f"ran.{n}").read_text().split()) for n in range(1, 7)]
    assert counts == [1, 2, 2, 1, 2, 1]


def test_a_single_job_and_a_missing_program(tmp_path):
    done = launch("one.log", "no-such-program", "--flag", cwd=tmp_path)
    assert done.returncode == 1
    assert "one.log: 1 of 1 job(s) failed" in done.stderr and "no-such-program: No such file" in done.stderr


def test_gpus_are_dealt_out(tmp_path):
    script = "echo $CUDA_VISIBLE_DEVICES > out.JOB; mkdir gpu.$CUDA_VISIBLE_DEVICES && rmdir gpu.$CUDA_VISIBLE_DEVICES"
    done = launch(
        "--gpu", "2", "JOB=1:5", "log/x.JOB.log", "sh", "-c", script, cwd=tmp_path, CUDA_VISIBLE_DEVICES="0,1,4,7"
    )
    assert done.returncode == 0, done.stderr
    assert {(tmp_path / f"out.{n}").read_text().strip() for n in range(1, 6)} <= {"0,1", "4,7"}
    launch("x.log", "sh", "-c", "echo ${CUDA_VISIBLE_DEVICES:-none} $OMP_NUM_THREADS > cpu", cwd=tmp_path,
           CUDA_VISIBLE_DEVICES="0,1")  # fmt: skip
    assert (tmp_path / "cpu").read_text() == "none 1\n"
    done = launch("--gpu", "1", "x.log", "true", cwd=tmp_path, CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 2 and "asks for 1 GPU(s) and 0 are visible" in done.stderr


def test_jobs_at_a_time(tmp_path):
    # Two jobs that wait for each other end only when both run at once; with one at a time the first runs into --time.
    meet = "[ -e here.1 ] && [ -e here.2 ] && exit 0"
    script = f"touch here.JOB; for i in $(seq 100); do {meet}; sleep 0.05; done; exit 1"
    command = ("JOB=1:2", "log/x.JOB.log", "sh", "-c", script)
    assert launch("--max_jobs_run", "2", *command, cwd=tmp_path).returncode == 0
    (tmp_path / "here.1").unlink()
    (tmp_path / "here.2").unlink()
    done = launch("--max_jobs_run", "1", "--time", "0:01", *command, cwd=tmp_path)
    assert done.returncode == 1 and "longer than --time allows (1 s)" in done.stderr


def test_status_85_runs_again_and_keeps_the_log(tmp_path):
    script = 'echo run JOB >> runs; [ $(grep -c "run JOB" runs) -ge JOB ] || { echo saved; exit 85; }'
    done = launch("JOB=1:3", "x.JOB.log", "sh", "-c", script, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted((tmp_path / "runs").read_text().splitlines()) == ["run 1"] + ["run 2"] * 2 + ["run 3"] * 3
    assert [(tmp_path / f"x.{n}.log").read_text().count("saved\n") for n in (1, 2, 3)] == [0, 1, 2]
    said = [done.stderr.count(f"x.{n}.log: stopped in good order (status 85), is run again") for n in (1, 2, 3)]
    assert said == [0, 1, 2]


def test_an_interrupt_is_no_reason_to_run_again(tmp_path):
    script = "trap 'echo saved; exit 85' TERM; echo run >> runs; while :; do sleep 0.05; done"
    process = subprocess.Popen([LAUNCH, "x.log", "sh", "-c", script], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (tmp_path / "runs").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130 and "interrupted" in said and "The same command runs them again" in said
    assert "is run again" not in said
    assert (tmp_path / "runs").read_text() == "run\n" and "saved" in (tmp_path / "x.log").read_text()


def test_an_interrupt_ends_the_children(tmp_path):
    script = 'sleep 60 & echo $! > child; wait'
    process = subprocess.Popen(
        [LAUNCH, "x.log", "sh", "-c", script], cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    child = tmp_path / "child"
    deadline = time.monotonic() + 120
    while not (child.exists() and child.read_text().strip()) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130 and "interrupted" in said
    status = Path(f"/proc/{child.read_text().strip()}/status")
    assert not status.exists() or "zombie" in status.read_text()


def test_a_second_interrupt_does_not_break_off_what_the_first_began(tmp_path):
    script = "trap 'echo >heard; read -r _ <go; echo saved; exit' TERM; echo >ready; while :; do read -r _ <never; done"
    pipes = {}
    for name in ("ready", "heard", "go", "never"):
        os.mkfifo(tmp_path / name)
        pipes[name] = os.open(tmp_path / name, os.O_RDWR)
    process = subprocess.Popen(
        [LAUNCH, "x.log", "bash", "-c", script], cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert select.select([pipes["ready"]], [], [], 120)[0]
    process.send_signal(signal.SIGTERM)
    assert select.select([pipes["heard"]], [], [], 120)[0]
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    os.write(pipes["go"], b"\n")
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130 and said.count("\n") == 1 and "all jobs were ended" in said
    assert "saved" in (tmp_path / "x.log").read_text()
    for pipe in pipes.values():
        os.close(pipe)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--gpus", "1", "x.log", "true"], "unknown option --gpus; known: --gpu, --mem"),
        (["--mem", "8Q", "x.log", "true"], "--mem takes a size such as 8G"),
        (["--time", "soon", "x.log", "true"], "--time takes 4:00:00"),
        (["--num_threads", "0", "x.log", "true"], "--num_threads takes a whole number from 1"),
        (["JOB=1:4", "x.log", "true"], "must have JOB in its name"),
        (["JOB=4:1", "x.JOB.log", "true"], "the range 4:1 is empty"),
        (["x.log"], "expected a log file and a command"),
        (["--backend", "cloud", "x.log", "true"], "unknown backend 'cloud'; known: local, slurm, ssh"),
        (["--num_nodes", "2", "x.log", "true"], "jobs on this machine have one node; use cmd_backend=slurm"),
        (["--config", "x.conf", "x.log", "true"], "jobs on this machine need no configuration"),
        (["--backend", "ssh", "x.log", "true"], "cannot read conf/hosts (No such file or directory)"),
        (["--backend", "slurm", "--config", "no.conf", "x.log", "true"], "cannot read no.conf"),
    ],
)
def test_wrong_command_lines_are_one_clear_line(tmp_path, arguments, message):
    done = launch(*arguments, cwd=tmp_path)
    assert done.returncode == 2 and message in done.stderr and len(done.stderr.splitlines()) == 1
