"""Ending a recipe ends all that it has started, and the next run goes on there; under nohup a hangup changes nothing.

What runs at that moment holds a pipe open, and so does its child: that something can be read says that it has started,
and the end of the pipe that both have ended.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import subprocess
import sys
import termios
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "slurm"))

from slurm_harness import start_cluster  # noqa: E402

TEMPLATE = Path(__file__).resolve().parents[2] / "egs2" / "TEMPLATE" / "slm1"
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "VIRTUAL_ENV": sys.prefix}
PATIENCE = 120.0
# Both stand-ins note what they were called for. The one that HOLD names goes on when there is a letter in `go`.
HOLD = """
hold() {
    echo "$1" >>calls
    [ "${HOLD:-}" = "$1" ] || return 0
    exec 9>held
    echo started >&9
    head -c 1 go >go.said # bash is ended by a signal at once, and leaves this one behind
    echo "$1 went on" >>calls
}
"""
PYTHON = f"""#!/usr/bin/env bash
{HOLD}
command=${{2##*.}}
hold "${{command}}"
[ "${{command}}" != download ] || {{ echo "$4"; exit; }}
while [ $# -gt 0 ]; do
    case "$1" in
        --output_dir | --exp_dir) while [ $# -gt 1 ] && [[ $2 != --* ]]; do
            mkdir -p "$2" && touch "$2/index.tsv" "$2/speech_shape"
            shift
        done ;;
    esac
    shift
done
"""
DATA = f"""#!/usr/bin/env bash
{HOLD}
hold data
for name in train dev test; do mkdir -p "data/${{name}}"; echo "u words" >"data/${{name}}/text"; done
"""


@pytest.fixture
def recipe(tmp_path) -> Path:
    """A recipe folder made by setup.sh, with stand-ins for Python and the data preparation."""
    folder = tmp_path / "corpus" / "slm1"
    subprocess.run([TEMPLATE / "setup.sh", folder], check=True, capture_output=True)
    (folder / "local" / "data.sh").write_text(DATA)
    (folder / "python").write_text(PYTHON)
    (folder / "python").chmod(0o755)
    for name in ("held", "go"):
        os.mkfifo(folder / name)
    return folder


@pytest.fixture
def started(recipe):
    """Starts run.sh with something in it that holds the pipe; returns the process, the pipe's other end, and `go`."""
    with contextlib.ExitStack() as stack:

        def start(hold: str, *options: str, before=("env",), terminal=None, **environment: str):
            held = os.open(recipe / "held", os.O_RDONLY | os.O_NONBLOCK)
            stack.callback(os.close, held)
            go = os.open(recipe / "go", os.O_RDWR)  # when this is closed, what a failed test leaves behind ends
            stack.callback(os.close, go)

            def prepare() -> None:  # pytest may itself ignore them, in the background or under nohup
                for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
                    signal.signal(number, signal.SIG_DFL)
                if terminal is not None:
                    fcntl.ioctl(0, termios.TIOCSCTTY, 0)

            process = subprocess.Popen(
                [*before, "./run.sh", "--python", "./python", *options], cwd=recipe, preexec_fn=prepare,
                env={**ENVIRONMENT, **environment, "HOLD": hold}, start_new_session=True,
                stdin=subprocess.DEVNULL if terminal is None else terminal,
                stdout=subprocess.DEVNULL if terminal is None else terminal,
                stderr=open(recipe / "said", "w") if terminal is None else terminal,
            )  # fmt: skip
            stack.callback(process.wait)
            stack.callback(process.kill)
            assert read(held).startswith(b"started\n")
            return process, held, go

        yield start


def read(held: int) -> bytes:
    """What comes next through the pipe; empty at its end."""
    assert select.select([held], [], [], PATIENCE)[0], "what holds the pipe has not started, or has not ended"
    return os.read(held, 100)


def has_ended(held: int) -> bool:
    """Wait for the end of the pipe."""
    while read(held):
        pass
    return True


def went_on(recipe: Path, *options: str, **environment: str) -> list[str]:
    """What another run calls, to its end."""
    (recipe / "calls").write_text("")
    done = subprocess.run(["./run.sh", "--python", "./python", *options], cwd=recipe, capture_output=True, text=True,
                          env={**ENVIRONMENT, **environment})  # fmt: skip
    assert done.returncode == 0, done.stderr
    return (recipe / "calls").read_text().split()


@pytest.mark.parametrize(
    ("hold", "number", "again"),
    [
        ("data", signal.SIGTERM, ["data", "check_data"]),
        ("check_data", signal.SIGINT, ["check_data", "encode"]),
        ("encode", signal.SIGTERM, ["encode", "encode"]),
        ("stats", signal.SIGHUP, ["encode", "encode", "encode", "stats"]),
        ("train", signal.SIGINT, ["encode", "encode", "encode", "train"]),
        ("score", signal.SIGTERM, ["encode", "encode", "encode", "decode"]),
    ],
)
def test_a_signal_ends_all_and_the_next_run_goes_on(recipe, started, hold, number, again):
    process, held, _ = started(hold)
    process.send_signal(number)
    assert process.wait(PATIENCE) == -number
    assert has_ended(held)
    said = (recipe / "said").read_text()
    assert f"slm.sh: ended by {number.name[3:]}; ending what it runs" in said
    assert f"{hold} went on" not in (recipe / "calls").read_text()
    calls = went_on(recipe)
    assert calls[: len(again)] == again and calls[-1] == "score"


def test_a_download_is_ended_too(recipe, started):
    options = ("--download_model", "user/adapter", "--stage", "5", "--stop_stage", "5")
    process, held, _ = started("download", *options)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == -signal.SIGTERM and has_ended(held)
    assert went_on(recipe, *options)[:2] == ["download", "decode"]


@pytest.mark.parametrize("hold", ["data", "train"])
def test_ctrl_c_in_a_terminal(started, hold):
    ours, theirs = pty.openpty()
    process, held, _ = started(hold, terminal=theirs)
    os.write(ours, b"\x03")
    assert process.wait(PATIENCE) == -signal.SIGINT and has_ended(held)
    os.close(ours), os.close(theirs)


@pytest.mark.parametrize("hold", ["data", "encode"])
def test_a_lost_terminal_ends_a_run(started, hold):
    ours, theirs = pty.openpty()
    process, held, _ = started(hold, terminal=theirs)
    os.close(theirs), os.close(ours)
    assert process.wait(PATIENCE) == -signal.SIGHUP and has_ended(held)


@pytest.mark.parametrize("hold", ["data", "train"])
def test_under_nohup_a_lost_terminal_changes_nothing(recipe, started, hold):
    ours, theirs = pty.openpty()
    process, _, go = started(hold, before=("nohup",), terminal=theirs)
    os.close(theirs), os.close(ours)
    process.send_signal(signal.SIGHUP)
    os.write(go, b"!")
    assert process.wait(PATIENCE) == 0
    calls = (recipe / "calls").read_text()
    assert f"{hold} went on" in calls and calls.split()[-1] == "score"


def test_a_signal_to_the_recipe_cancels_its_jobs_on_slurm(cluster, recipe, started):
    variables = {"cmd_backend": "slurm", **cluster.environment}
    process, held, _ = started("encode", "--nj", "2", **variables)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == -signal.SIGTERM and has_ended(held)
    states = cluster.call("squeue", "--noheader", "--states=all", "--format=%T").split()
    assert states and set(states) == {"CANCELLED"}
    assert not list(recipe.rglob(".launch")), "nothing is left to be cancelled"
    assert went_on(recipe, **variables)[-1] == "score"


@pytest.fixture(scope="module")
def cluster():
    yield from start_cluster()
