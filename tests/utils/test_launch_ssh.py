"""The launcher's ssh backend, with a program `ssh` that runs the command here and knows machines that do not answer."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

LAUNCH = str(Path(__file__).resolve().parents[2] / "utils" / "launch.py")
SSH = """#!/usr/bin/env bash
# ssh -o ... HOST COMMAND: what is left are the last two
host=${@: -2:1} command=${@: -1}
echo "${host}" >>hosts_called
case "${host}" in
    dead*) echo "ssh: connect to host ${host} port 22: No route to host" >&2; exit 255 ;;
esac
cd / && exec env -i PATH=/usr/bin:/bin REMOTE="${host}" bash -c "${command}"
"""


@pytest.fixture
def start(tmp_path):
    """Starts the launcher with a list of machines."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "ssh").write_text(SSH)
    (tmp_path / "bin" / "ssh").chmod(0o755)
    (tmp_path / "conf").mkdir()

    def start(hosts, *arguments, **environment):
        (tmp_path / "conf" / "hosts").write_text(hosts)
        variables = {**os.environ, **environment, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
        return subprocess.Popen([LAUNCH, "--backend", "ssh", *arguments], cwd=tmp_path, env=variables, text=True,
                                stderr=subprocess.PIPE)  # fmt: skip

    return start


def launch(start, hosts, *arguments, **environment):
    process = start(hosts, *arguments, **environment)
    _, said = process.communicate(timeout=60)
    return process.returncode, said


def test_jobs_run_elsewhere_as_they_would_here(start, tmp_path):
    script = 'echo "$REMOTE $MINE $OMP_NUM_THREADS $PWD" >out.JOB; echo said JOB'
    status, said = launch(start, "# two\na\nme@b  # that one\n", "--num_threads", "3", "JOB=1:6", "log/x.JOB.log",
                          "sh", "-c", script, MINE="a  b")  # fmt: skip
    assert status == 0, said
    outputs = [(tmp_path / f"out.{n}").read_text() for n in range(1, 7)]
    assert {output.split(" ", 1)[1] for output in outputs} == {f"a  b 3 {tmp_path}\n"}
    assert {output.split()[0] for output in outputs} <= {"a", "me@b"}
    assert "said 4\n# ended with status 0" in (tmp_path / "log/x.4.log").read_text()
    assert not (tmp_path / "log/.launch").exists(), "what the jobs needed to know is removed: it has the environment"


def test_a_machine_that_does_not_answer_is_named_and_left_out(start, tmp_path):
    status, said = launch(start, "dead1 jobs=3\nb\n", "--max_jobs_run", "1", "JOB=1:4", "log/x.JOB.log",
                          "sh", "-c", "echo $REMOTE >out.JOB")  # fmt: skip
    assert status == 0, said
    assert said.count("dead1 cannot be reached (ssh: connect to host dead1 port 22: No route to host)") == 1
    assert [(tmp_path / f"out.{n}").read_text() for n in range(1, 5)] == ["b\n"] * 4
    assert (tmp_path / "hosts_called").read_text().split().count("dead1") == 1


def test_no_machine_answers(start):
    status, said = launch(start, "dead1\ndead2\n", "JOB=1:4", "log/x.JOB.log", "true")
    assert status == 2 and "no machine of conf/hosts can be reached" in said and "dead2: ssh: connect" in said


def test_failures_are_the_jobs_own(start):
    status, said = launch(start, "a\n", "JOB=1:3", "x.JOB.log", "sh", "-c", "echo job JOB; [ JOB != 2 ] || exit 255")
    assert status == 1 and "1 of 3 job(s) failed: 2" in said and "x.2.log (status 255):\n    job 2" in said
    assert "cannot be reached" not in said


def test_gpus_are_dealt_out(start, tmp_path):
    script = "echo $REMOTE:$CUDA_VISIBLE_DEVICES >out.JOB; mkdir $CUDA_VISIBLE_DEVICES && rmdir $CUDA_VISIBLE_DEVICES"
    hosts = "a jobs=8 gpus=0,1,4,7\nb jobs=3\n"
    status, said = launch(start, hosts, "--gpu", "2", "JOB=1:5", "x.JOB.log", "sh", "-c", script)
    assert status == 0, said
    assert {(tmp_path / f"out.{n}").read_text().strip() for n in range(1, 6)} <= {"a:0,1", "a:4,7"}
    status, said = launch(start, hosts, "--gpu", "5", "x.log", "true")
    assert status == 2 and "no machine of conf/hosts has 5 GPU(s)" in said


def test_status_85_runs_again_and_time_is_kept(start, tmp_path):
    script = "echo run >>runs; [ $(wc -l <runs) -ge 3 ] || exit 85"
    assert launch(start, "a\n", "x.log", "sh", "-c", script)[0] == 0
    assert (tmp_path / "runs").read_text() == "run\n" * 3
    status, said = launch(start, "a\n", "--time", "0:01", "x.log", "sleep", "60")
    assert status == 1 and "ran longer than --time allows (1 s)" in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_jobs_end_with_the_launcher(start, tmp_path, number):
    process = start("a\n", "x.log", "sh", "-c", "echo $$ >pid.new; mv pid.new pid; exec sleep 60")
    deadline = time.monotonic() + 20
    while not (tmp_path / "pid").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    job = Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}")
    process.send_signal(number)
    process.wait()
    while job.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not job.exists()
    process.stderr.close()


@pytest.mark.parametrize("line", ["a jobs=0", "a cores=4", "jobs=4", "-oProxyCommand=x", "a jobs"])
def test_wrong_lines_are_named(start, line):
    status, said = launch(start, f"# machines\n{line}\n", "x.log", "true")
    assert status == 2 and f"conf/hosts:2: expected `host [jobs=N] [gpus=0,1]`, found '{line}'" in said
