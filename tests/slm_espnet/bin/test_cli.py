"""`slm-espnet`: every command is there, explains itself, and the list of commands costs nothing."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from slm_espnet import cli
from slm_espnet.bin.completion import candidates


def run(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "slm_espnet.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_help_lists_every_command_and_imports_none(top):
    out = run("--help").stdout
    for command in cli.COMMANDS:
        assert f"\n  {command} " in out
    code = "import sys; from slm_espnet.cli import usage; usage(); "
    code += "print([m for m in sys.modules if m.split('.')[0] in ('argparse', 'numpy', 'torch')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_every_command_of_the_toolkit_has_a_name_here(top):
    there = {path.stem for path in (top / "slm_espnet" / "bin").glob("*.py")} - {"__init__", "config_file", "asr_train"}
    assert {cli.module_of(command).rpartition(".")[2] for command in cli.COMMANDS} == there


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_help_of_a_command_speaks_of_this_command(command, monkeypatch, capsys):
    module = importlib.import_module(cli.module_of(command))
    monkeypatch.setattr(module, "__doc__", module.__doc__)
    monkeypatch.setattr(sys, "argv", ["slm-espnet"])
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    out = capsys.readouterr().out
    assert ended.value.code == 0
    assert f"slm-espnet {command.replace('-', '_')}" in out or f"slm-espnet {command}" in out
    assert "python -m slm_espnet.bin" not in out


def test_unknown_command_is_one_line():
    result = run("trian")
    assert result.returncode == 2 and result.stderr.count("\n") == 1 and "'trian'" in result.stderr


def test_completion_knows_commands_and_options():
    assert candidates(["de"]) == ["decode", "demo"]
    assert "--beam_size" in candidates(["decode", "--beam"])
    assert "--ngpu" in candidates(["train", "--n"])
    assert candidates(["decode", "data/"]) == []  # files: the shell's own


def test_version_has_what_a_report_needs():
    out = run("version").stdout
    for word in ("slm_espnet 0.", "Python 3.", "torch 2.", "transformers 5.", "espnet 20", "machine: "):
        assert word in out
