"""Which launcher has claimed jobs is decided by a lock and by what changes, never by clocks or process numbers."""

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "utils"))

from launcher import claim  # noqa: E402
from launcher.job import UsageError  # noqa: E402

HOLD = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(TOP / "utils")!r})
from launcher.claim import claimed
with claimed(Path(sys.argv[1])):
    print("claimed", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / ".launch" / ".x.log.lock"


def left(path: Path, words: str, time: float = 0.0) -> None:
    """What a launcher left that was killed when its clock said `time`."""
    path.parent.mkdir()
    path.write_text(words)
    os.utime(path, (time, time))


def test_one_at_a_time_until_the_first_is_killed(path):
    first = subprocess.Popen([sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with first:
        assert first.stdout.readline() == b"claimed\n"
        with pytest.raises(UsageError, match=f"x.log: .* already .process {first.pid} on {os.uname().nodename}"):
            with claim.claimed(path):
                pass
        first.kill()
        first.wait()
        with claim.claimed(path):
            assert path.read_text() == f"{os.uname().nodename} {os.getpid()}\n"
        assert not path.parent.exists()


@pytest.mark.parametrize("time", [0.0, 4102444800.0])
def test_a_dead_launcher_is_dead_whatever_its_clock_and_number(path, time):
    left(path, f"{os.uname().nodename} {os.getpid()}\n", time)  # its number is in use again
    with claim.claimed(path):
        pass
    left(path, f"far {os.getpid()}\n", time)
    with claim.claimed(path, watch=0.0):
        pass


@pytest.mark.parametrize("locks", [True, False])
def test_where_locks_do_not_reach_other_machines_signs_of_life_do(path, monkeypatch, locks):
    def touch(_seconds: float) -> None:
        os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))

    def no_locks(*_arguments) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    if not locks:
        monkeypatch.setattr(fcntl, "flock", no_locks)
    monkeypatch.setattr(claim.time, "sleep", touch)
    left(path, "far 7\n")
    with pytest.raises(UsageError, match="process 7 on far"):
        with claim.claimed(path):
            pass
    assert path.read_text() == "far 7\n"


def test_a_launcher_gives_signs_of_life(path, monkeypatch):
    monkeypatch.setattr(claim, "BEAT", 0.01)
    touched = claim.threading.Event()
    monkeypatch.setattr(claim.os, "utime", lambda _file: touched.set())
    with claim.claimed(path):
        assert touched.wait(120)


def test_a_folder_that_goes_just_now_is_made_again(path, monkeypatch):
    made = []

    def vanishing(folder: Path, **options) -> None:
        os.makedirs(folder, exist_ok=True)
        made.append(folder)
        if len(made) == 1:  # another array's launcher has just ended and takes the folder along
            folder.rmdir()

    monkeypatch.setattr(claim.Path, "mkdir", vanishing)
    with claim.claimed(path):
        assert path.exists()
    assert len(made) == 2
