"""Option parsing of shell scripts."""

import subprocess
from pathlib import Path

import pytest

PARSER = Path(__file__).resolve().parents[2] / "utils" / "parse_options.sh"
SCRIPT = f"""#!/usr/bin/env bash
# A script that shows its options.
set -euo pipefail
nj=4  # jobs
skip_train=false
slm_args=
. '{PARSER}'
echo "nj=${{nj}} skip_train=${{skip_train}} slm_args=[${{slm_args}}] rest=[$*]"
"""


@pytest.fixture
def run(tmp_path):
    script = tmp_path / "script.sh"
    script.write_text(SCRIPT)
    return lambda *arguments: subprocess.run(["bash", script, *arguments], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nj=4 skip_train=false slm_args=[] rest=[]"),
        (["--nj", "8", "--skip-train", "true"], "nj=8 skip_train=true slm_args=[] rest=[]"),
        (["--nj=2", "--slm_args", "--lr 1 --x 'y z'"], "nj=2 skip_train=false slm_args=[--lr 1 --x 'y z'] rest=[]"),
        (["--slm_args", "--max_epoch", "a", "b"], "nj=4 skip_train=false slm_args=[--max_epoch] rest=[a b]"),
        (["--slm_args", "", "--", "--nj"], "nj=4 skip_train=false slm_args=[] rest=[--nj]"),
    ],
)
def test_options_set_variables(run, arguments, said):
    done = run(*arguments)
    assert (done.stdout.strip(), done.stderr, done.returncode) == (said, "", 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--skip_trian", "true"], "unknown option --skip_trian (did you mean --skip_train?); --help lists"),
        (["--HOME", "x"], "unknown option --HOME"),
        (["--nj"], "option --nj needs a value"),
        (["--nj", "--skip_train", "true"], "option --nj needs a value, found the option --skip_train"),
        (["--skip_train", "yes"], "option --skip_train takes true or false, not 'yes'"),
    ],
)
def test_mistakes_are_one_clear_line(run, arguments, message):
    done = run(*arguments)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: script.sh: ") and message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_help_is_the_head_of_the_script(run):
    done = run("--help")
    assert done.returncode == 0
    assert done.stdout == (
        "A script that shows its options.\n\n  --nj 4  # jobs\n  --skip_train false\n  --slm_args \n"
    )
