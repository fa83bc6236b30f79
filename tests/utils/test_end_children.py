"""utils/end_children.sh: commands run as without it, but for signals (those are tried on recipes, in tests/egs2)."""

import signal
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "utils" / "end_children.sh"


def bash(text: str, closed: str = "", **options) -> subprocess.CompletedProcess:
    """Run lines after the script was sourced."""
    script = f"set -euo pipefail\n. '{SCRIPT}'\n{text}\n"
    command = ["bash", "-c", f'exec bash -c "$0" {closed}', script]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, preexec_fn=_as_a_shell_does, **options)


def _as_a_shell_does() -> None:
    """What these tests are run by may ignore signals (nohup, a job in the background); bash would go on doing so."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@pytest.mark.parametrize(("command", "status"), [("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143)])
def test_a_failure_ends_the_script_with_its_status(command, status):
    done = bash(f"run sh -c '{command}'\necho went on")
    assert done.returncode == status and "went on" not in done.stdout


def test_a_failure_can_be_looked_at():
    assert bash("run false || echo $?\nif run false; then exit 9; fi\n! run false").stdout == "1\n"


def test_commands_see_the_input_and_their_arguments():
    done = bash("read -r first; run cat\nrun printf '<%s>' 'a  b' '' '*'", input="one\ntwo\n")
    assert (done.returncode, done.stdout) == (0, "two\n<a  b><><*>"), done.stderr


def test_a_closed_input_is_an_empty_one():
    done = bash("run cat; run echo ran", closed="<&-")
    assert (done.returncode, done.stdout, done.stderr) == (0, "ran\n", "")


def test_what_a_command_prints_is_an_answer():
    done = bash("""
        answer words echo 'two  words'
        echo "<${words}>"
        answer words sh -c 'echo no; exit 4'
        echo went on
    """)
    assert (done.returncode, done.stdout) == (4, "<two  words>\n")


def test_commands_know_interrupts_though_they_run_in_the_background():
    shown = bash("run grep SigIgn /proc/self/status").stdout
    assert not int(shown.split()[1], 16) & 0b110, "neither INT nor QUIT is ignored"


def test_a_command_that_ignores_term_is_ended_with_the_one_that_started_it(tmp_path):
    script = "trap '' TERM; echo >now; exec tail -f /dev/null"
    done = bash(f"""
        END_CHILDREN_PATIENCE=1
        mkfifo now
        run bash -c 'bash -c "{script}" & read -r _ <now; echo $! >child; kill -TERM {"$PPID"}; wait'
    """, cwd=tmp_path)  # fmt: skip
    assert done.returncode == -15, done.stderr
    assert not is_alive((tmp_path / "child").read_text().strip())


def test_subshells_in_the_background_end_what_they_run(tmp_path):
    done = bash(f"""
        mkfifo now
        (. '{SCRIPT}' && run bash -c 'echo $$ >child; echo >now; exec tail -f /dev/null' && touch "went on") &
        read -r _ <now
        kill -TERM $$
    """, cwd=tmp_path)  # fmt: skip
    assert done.returncode == -15, done.stderr
    assert not is_alive((tmp_path / "child").read_text().strip()) and not (tmp_path / "went on").exists()


def is_alive(pid: str) -> bool:
    status = Path(f"/proc/{pid}/status")
    try:
        return "(zombie)" not in status.read_text()
    except OSError:
        return False
