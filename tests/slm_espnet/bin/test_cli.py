"""The command slm-espnet: all commands under one name, and recipes laid out anywhere."""

import os
import re
import subprocess
import sys

import pytest

from slm_espnet import cli
from slm_espnet.bin import recipe, version
from slm_espnet.errors import UserError
from slm_espnet.toolkit import recipe_names, toolkit_root


def test_every_command_is_there_and_explained(top, capsys):
    modules = {path.stem.replace("_", "-") for path in (top / "slm_espnet/bin").glob("*.py")}
    assert modules - {"--init--", "config-file"} == set(cli.COMMANDS) - {"completion"}
    assert cli.main(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(f"  {name} " in said and text in said for name, text in cli.COMMANDS.items())


def test_a_command_calls_itself_by_its_name(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["slm-espnet"])
    with pytest.raises(SystemExit):
        cli.main(["check_data", "--help"])
    assert capsys.readouterr().out.startswith("usage: slm-espnet check-data ")


def test_a_misspelled_command_is_answered_with_the_nearest(capsys):
    assert cli.main(["trancribe"]) == 2
    assert "there is no command 'trancribe', did you mean transcribe?" in capsys.readouterr().err
    assert cli.main([]) == 2 and "usage: slm-espnet COMMAND" in capsys.readouterr().out


def test_help_needs_no_package(top):
    code = "import sys; from slm_espnet.cli import main; main(['--help']); print(sorted(set(sys.modules) & {%s}))"
    heavy = ", ".join(map(repr, ("torch", "numpy", "yaml", "argparse", "espnet2")))
    done = subprocess.run([sys.executable, "-c", code % heavy], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_completion_in_bash_knows_commands_and_options(tmp_path):
    command = tmp_path / "slm-espnet"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m slm_espnet.cli "$@"\n')
    command.chmod(0o755)
    script = cli.completion("bash") + (
        'ask() { COMP_WORDS=(slm-espnet "$@"); COMP_CWORD=$#; _slm_espnet; echo "${COMPREPLY[*]}"; }\n'
        "ask tr; ask transcribe --max_line\n"
    )
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.splitlines() == ["transcribe train", "--max_line_count --max_line_width"]
    assert "transcribe" in cli.completion("fish") and "bashcompinit" in cli.completion("zsh")
    with pytest.raises(ValueError, match="bash, zsh, fish, not 'tcsh'"):
        cli.completion("tcsh")


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_can_be_laid_out_anywhere(tmp_path, name):
    folder = tmp_path / "with a blank" / "x"
    assert recipe.main([name, str(folder)]) == 0
    run = (folder / "run.sh").read_text()
    (foundation,) = re.findall(r"--foundation (\S+)", run)[-1:]
    assert (folder / foundation).is_file()
    for path in folder.glob("conf/**/*.yaml"):
        for included in re.findall(r"^include: (\S+)", path.read_text(), re.MULTILINE):
            assert (path.parent / included).is_file(), path
    assert (folder / "slm.sh").resolve() == toolkit_root() / "egs2/TEMPLATE/slm1/slm.sh"
    assert not any(path.is_symlink() for path in (folder / "local").iterdir()), "what is yours to edit is a copy"
    assert os.access(folder / "run.sh", os.X_OK) and (folder / "utils/launch.py").is_file()
    helped = subprocess.run([folder / "slm.sh", "--help"], cwd=folder, capture_output=True, text=True)
    assert helped.returncode == 0 and "--stop_stage" in helped.stdout


def test_what_is_there_is_not_written_over(tmp_path):
    (tmp_path / "run.sh").write_text("mine")
    with pytest.raises(UserError, match="is there and not empty"):
        recipe.main(["mini", str(tmp_path)])
    with pytest.raises(UserError, match="no recipe 'minni'.*--list"):
        recipe.main(["minni", str(tmp_path / "x")])
    with pytest.raises(UserError, match="where is it to go"):
        recipe.main(["mini"])


def test_an_empty_recipe_and_the_list(tmp_path, capsys):
    assert recipe.main(["new", str(tmp_path / "x")]) == 0 and (tmp_path / "x/local/prepare.py").is_file()
    assert recipe.main(["--list"]) == 0
    assert {"librispeech", "own_data"} <= {line.split()[0] for line in capsys.readouterr().out.splitlines()}


def test_the_version_has_what_a_report_needs(capsys):
    assert version.main([]) == 0
    said = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines())
    assert {"slm_espnet", "python", "hardware", "torch", "transformers", "espnet", "ffmpeg"} <= said.keys()
    assert sys.executable in said["python"] and "commit" in said["slm_espnet"]


def test_a_reader_that_has_enough_ends_a_command_quietly():
    code = "from slm_espnet.errors import run_main; run_main(lambda: [print('x' * 999) for _ in range(9999)])"
    command = f"{{ '{sys.executable}' -c \"$0\"; echo \"status $?\" >&2; }} | head -c 5"
    done = subprocess.run(["bash", "-c", command, code], capture_output=True, text=True)
    assert done.stdout == "xxxxx" and done.stderr == "status 141\n"
