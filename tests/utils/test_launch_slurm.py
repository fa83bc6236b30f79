"""The launcher's slurm backend where Slurm, or what lies under it, behaves badly.

sbatch, squeue, scontrol, scancel and sacct are made up here: they give the answers that a test wants, in turn, because
a real cluster does not give them readily. Everything else runs on a real one, in tests/slurm.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

LAUNCH = str(Path(__file__).resolve().parents[2] / "utils" / "launch.py")
sys.path.insert(0, str(Path(LAUNCH).parent))

from launcher import slurm_queue  # noqa: E402
from launcher.job import UsageError, parse  # noqa: E402
from launcher.slurm import SlurmBackend  # noqa: E402
from launcher.spool import Spool  # noqa: E402

# answers/NAME.N: what the N-th call of a program prints (the last one again and again); answers/NAME.N.error: to
# standard error, with status 1. squeue answers when there is the file that answers/squeue_waits_for names. sbatch then
# starts the job unless there is a file `never`, after `delay` seconds.
PROGRAM = """#!/usr/bin/env bash
name=$(basename "$0")
echo "$*" >>"${FAKE}/calls.${name}"
count=$(wc -l <"${FAKE}/calls.${name}")
if [ "${name}" = squeue ] && [ -e "${FAKE}/answers/squeue_waits_for" ]; then
    until [ -e "${FAKE}/$(cat "${FAKE}/answers/squeue_waits_for")" ]; do sleep 0.05; done
fi
answer=
for ((n = count; n > 0; n--)); do
    for file in "${FAKE}/answers/${name}.${n}"{,.error}; do
        [ -z "${answer}" ] && [ -e "${file}" ] && answer=${file}
    done
done
if [ "${name}" = sbatch ] && { [[ ${answer} != *.error ]] || [ -e "${FAKE}/lost" ]; }; then
    [[ $* =~ --output=([^ ]*)%j ]] && echo "slurmstepd: words of Slurm" >"${BASH_REMATCH[1]}${count}.out"
    if [ ! -e "${FAKE}/never" ]; then
        (sleep "${DELAY:-0}"; SLURM_JOB_ID=${count} exec sh "${@: -1}") >/dev/null 2>&1 </dev/null &
    fi
    [[ ${answer} == *.error ]] || echo "${count}"
fi
if [[ ${answer} == *.error ]]; then
    cat "${answer}" >&2
    exit 1
elif [ -n "${answer}" ]; then
    sed "s/COMMENT/$(sed 's/.*--comment=\\([^ ]*\\).*/\\1/;q' "${FAKE}/calls.sbatch")/" "${answer}"
fi
"""
CONF = """
option num_threads=* --cpus-per-task=$0
option time=* --time=$0
option mem=* --mem=$0
set file_delay={delay}
set longest_poll=0.1
"""


class Fake:
    """A folder with the made-up programs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("bin", "answers", "conf"):
            (folder / name).mkdir()
        for name in ("sbatch", "squeue", "scontrol", "scancel", "sacct"):
            (folder / "bin" / name).write_text(PROGRAM)
            (folder / "bin" / name).chmod(0o755)

    def answers(self, program: str, *texts: str) -> None:
        """What a program says in turn; texts with `error:` before them are refusals."""
        for number, text in enumerate(texts, 1):
            said = text.removeprefix("error:")
            name = f"{program}.{number}" + (".error" if said != text else "")
            (self.folder / "answers" / name).write_text(f"{said}\n")

    def never_runs(self) -> None:
        """Jobs are lost."""
        (self.folder / "never").touch()

    def calls(self, program: str) -> list[str]:
        path = self.folder / f"calls.{program}"
        return path.read_text().splitlines() if path.exists() else []

    def start(self, *arguments: str, file_delay: float = 0.2, **environment: str) -> subprocess.Popen:
        (self.folder / "conf" / "slurm.conf").write_text(CONF.format(delay=file_delay))
        path = f"{self.folder}/bin:{os.environ['PATH']}"
        return subprocess.Popen(
            [LAUNCH, "--backend", "slurm", *arguments], cwd=self.folder, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PATH": path, "FAKE": str(self.folder), **environment},
        )  # fmt: skip

    def launch(self, *arguments: str, **options) -> tuple[int, str]:
        process = self.start(*arguments, **options)
        _, said = process.communicate(timeout=400)
        return process.returncode, said


@pytest.fixture
def fake(tmp_path) -> Fake:
    return Fake(tmp_path)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("TIMEOUT|TimeLimit", "ran longer than --time allows (4:00:00) and was ended: give more --time in cmd.sh"),
        ("OUT_OF_MEMORY|OutOfMemory", "needed more memory than it had (8 GB) and was ended: give more --mem"),
        ("CANCELLED|None", "was cancelled by somebody (scancel)"),
        ("CANCELLED|DependencyNeverSatisfied", "was cancelled by Slurm: the job that it was to wait for has failed"),
        ("COMPLETED|None", "is this a shared filesystem?"),
        ("FAILED|NonZeroExitCode", "was ended by Slurm as FAILED (NonZeroExitCode)"),
    ],
)
def test_jobs_that_end_without_a_word(fake, state, words):
    fake.never_runs()
    fake.answers("squeue", f"1|N/A|{state}")
    status, said = fake.launch("--time", "4:00:00", "--mem", "8G", "x.log", "true")
    assert status == 1 and words in said and "    slurmstepd: words of Slurm" in said


def test_jobs_that_slurm_forgot(fake):
    fake.never_runs()
    fake.answers("squeue", "error:slurm_load_jobs error: Invalid job id specified")
    fake.answers("sacct", "error:Slurm accounting storage is disabled")
    status, said = fake.launch("x.log", "true")
    assert status == 1 and "is in Slurm's list no more, and left no sign of its end" in said
    (fake.folder / "answers" / "sacct.1.error").unlink()
    fake.answers("sacct", "OUT_OF_MEMORY")
    assert "needed more memory" in fake.launch("x.log", "true")[1]


def test_a_command_that_was_killed_for_memory(fake):
    fake.answers("squeue", "1|N/A|OUT_OF_MEMORY|OutOfMemory")
    status, said = fake.launch("--mem", "1G", "x.log", "sh", "-c", "kill -9 $$")
    assert status == 1 and "needed more memory than it had (1 GB)" in said


def test_lost_nodes_where_the_cluster_does_not_queue_again(fake):
    # the first run is ended by Slurm, which says only later that its node was lost; the second one is left alone
    lost, running = "1|N/A|NODE_FAIL|None", "|N/A|RUNNING|None"
    fake.answers("squeue", *[f"1{running}"] * 9, lost, lost, f"2{running}")
    (fake.folder / "answers" / "squeue_waits_for").write_text("runs")
    fake.answers("scontrol", "JobState=COMPLETING Reason=None")
    script = "echo run >>runs; [ $(wc -l <runs) -ge 2 ] || kill $$"
    status, said = fake.launch("x.log", "sh", "-c", script)
    assert status == 0 and "the node of job(s) 1 was lost or taken away; submitted again" in said
    assert len(fake.calls("sbatch")) == 2


def test_a_job_whose_nodes_are_always_lost_is_given_up(fake):
    fake.never_runs()
    fake.answers("squeue", "\n".join(f"{n}|N/A|NODE_FAIL|None" for n in range(1, 9)))
    status, said = fake.launch("x.log", "true")
    assert status == 1 and "its node failed, again and again" in said and len(fake.calls("sbatch")) == 6


def test_a_moment_between_two_runs_is_not_the_end(fake):
    fake.answers("squeue", "1|N/A|NODE_FAIL|None", "1|N/A|PENDING|BeginTime", "1|N/A|CANCELLED|None",
                 "1|N/A|RUNNING|None")  # fmt: skip
    status, said = fake.launch("x.log", "true", DELAY="1")
    assert status == 0 and len(fake.calls("sbatch")) == 1, said


def test_a_file_that_appears_late_is_waited_for(fake):
    fake.answers("squeue", "1|N/A|COMPLETED|None")
    status, said = fake.launch("x.log", "true", file_delay=30, DELAY="1")
    assert status == 0, said


def test_a_controller_that_does_not_answer_is_waited_for(fake):
    error = "error:slurm_load_jobs error: Unable to contact slurm controller (connect failure)"
    fake.answers("squeue", error, error, error, "1|N/A|RUNNING|None")
    status, said = fake.launch("x.log", "true", DELAY="1")
    assert status == 0 and said.count("controller does not answer") == 1


def test_an_answer_that_got_lost_does_not_submit_twice(fake):
    (fake.folder / "lost").touch()
    fake.answers("sbatch", "error:sbatch: error: Batch job submission failed: Socket timed out on send/recv operation")
    fake.answers("squeue", "1|COMMENT", "1|N/A|RUNNING|None")
    status, said = fake.launch("x.log", "sh", "-c", "echo run >>runs")
    assert status == 0, said
    assert len(fake.calls("sbatch")) == 1 and (fake.folder / "runs").read_text() == "run\n"


def test_a_busy_controller_is_asked_again(fake):
    fake.answers("sbatch", "error:sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying.", "")
    fake.answers("squeue", "", "2|N/A|RUNNING|None")
    status, said = fake.launch("x.log", "true")
    assert status == 0 and len(fake.calls("sbatch")) == 2, said


def test_a_refused_part_takes_back_the_others(fake):
    fake.never_runs()
    fake.answers("scontrol", "MaxArraySize            = 4")
    limit = "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"
    fake.answers("sbatch", "", f"error:sbatch: error: Batch job submission failed: {limit}")
    fake.answers("squeue", "1|1|CANCELLED|None\n1|2|CANCELLED|None\n1|3|CANCELLED|None")
    status, said = fake.launch("JOB=1:5", "x.JOB.log", "true")
    assert status == 2 and "fewer jobs (--nj, --inference_nj)" in said
    assert [call.split()[-1] for call in fake.calls("scancel")] == ["1"]


def test_at_the_time_limit_the_launcher_runs_again_what_stopped_in_good_order(fake):
    fake.answers("scontrol", "JobState=COMPLETING Reason=TimeLimit")
    fake.answers("squeue", "\n".join(f"{number}|N/A|RUNNING|None" for number in (1, 2, 3)))
    status, said = fake.launch("x.log", "sh", "-c", "echo run >>runs; [ $(wc -l <runs) -ge 3 ] || exit 85")
    assert status == 0 and (fake.folder / "runs").read_text() == "run\n" * 3, said


def test_an_interrupt_between_submission_and_answer_cancels_the_job(fake):
    fake.never_runs()
    slow = (fake.folder / "bin" / "sbatch").read_text() + "touch now; sleep 1\n"
    (fake.folder / "bin" / "sbatch").write_text(slow)
    process = fake.start("x.log", "true")
    deadline = time.monotonic() + 400
    while not (fake.folder / "now").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=400)
    assert process.returncode == 130 and "interrupted" in said
    assert [call.split()[-1] for call in fake.calls("scancel")] == ["1"]


def test_no_slurm_here(fake):
    for name in ("sbatch", "scontrol"):
        (fake.folder / "bin" / name).unlink()
    where = subprocess.run(["which", "python3"], capture_output=True, text=True, check=True).stdout.strip()
    (fake.folder / "bin" / "python3").symlink_to(where)
    done = subprocess.run([where, LAUNCH, "--backend", "slurm", "x.log", "true"], cwd=fake.folder, text=True,
                          capture_output=True, env={"PATH": str(fake.folder / "bin")})  # fmt: skip
    assert done.returncode == 2 and "sbatch is not there: run on a login node of the cluster" in done.stderr


def test_jobs_that_slurm_does_not_end_are_known_to_the_next_launcher(tmp_path, monkeypatch):
    def call(command):
        calls.append(command)
        answer = {"sbatch": "7\n", "squeue": f"7|N/A|{state}|None\n"}.get(command[0], "")
        status = int(command[0] == "scancel" and len(calls) % 2)  # it does not always answer, either
        return subprocess.CompletedProcess(command, status, answer, "")

    def sleep(_seconds):
        if len(calls) == 1:  # the job is submitted
            raise KeyboardInterrupt

    calls, state = [], "COMPLETING"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(slurm_queue, "call", call)
    monkeypatch.setattr(time, "sleep", sleep)
    (tmp_path / "slurm.conf").write_text(CONF.format(delay=0))
    backend, array = SlurmBackend("slurm.conf"), parse(["x.log", "true"])
    with pytest.raises(KeyboardInterrupt):
        backend.run(array)
    assert Spool.of(array).jobs() == ["7"] and not list(tmp_path.rglob("*.lock"))
    with pytest.raises(UsageError, match="Slurm has not ended jobs of an earlier launcher yet; wait until .*--jobs=7"):
        backend.run(array)
    assert [command[0] for command in calls].count("sbatch") == 1 and Spool.of(array).jobs() == ["7"]
    state = "CANCELLED"
    before = len(calls)
    assert [result.number for result in backend.run(array)] == [1]
    assert [command[0] for command in calls[before:]][:3] == ["scancel", "squeue", "sbatch"]
    assert not (tmp_path / ".launch").exists()


def test_an_interrupt_while_an_answer_is_lost_cancels_the_job(tmp_path, monkeypatch):
    def call(command):
        calls.append(command)
        if command[0] == "sbatch":
            return subprocess.CompletedProcess(command, 1, "", "Socket timed out on send/recv operation")
        mark = next(part for part in calls[0] if part.startswith("--comment=")).removeprefix("--comment=")
        return subprocess.CompletedProcess(command, 0, f"7|{mark}\n" if "--format=%F|%k" in command else "", "")

    def sleep(_seconds):
        raise KeyboardInterrupt

    calls = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(slurm_queue, "call", call)
    monkeypatch.setattr(time, "sleep", sleep)
    (tmp_path / "slurm.conf").write_text(CONF.format(delay=0))
    with pytest.raises(KeyboardInterrupt):
        SlurmBackend("slurm.conf").run(parse(["x.log", "true"]))
    assert ["scancel", "--quiet", "7"] in calls and not (tmp_path / ".launch").exists()
