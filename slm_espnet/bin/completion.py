"""Completion of `slm-espnet` by the Tab key: commands, their options, and files.

    eval "$(slm-espnet completion bash)"                     # in ~/.bashrc
    eval "$(slm-espnet completion zsh)"                      # in ~/.zshrc, after compinit
    slm-espnet completion fish > ~/.config/fish/completions/slm-espnet.fish
"""

from __future__ import annotations

import argparse
import importlib
import re
from collections.abc import Sequence

from slm_espnet.cli import COMMANDS, module_of
from slm_espnet.errors import run_main

BASH = """\
_slm_espnet() {
    local IFS=$'\\n'
    COMPREPLY=($(compgen -W "$(slm-espnet completion words "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)" -- \\
        "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _slm_espnet slm-espnet
"""
SCRIPTS = {
    "bash": BASH,
    "zsh": "autoload -U +X bashcompinit && bashcompinit\n" + BASH,
    "fish": "complete -c slm-espnet -a '(slm-espnet completion words (commandline -opc)[2..-1] (commandline -ct))'\n",
}


def get_parser() -> argparse.ArgumentParser:
    """Options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("shell", choices=[*SCRIPTS, "words"], help="words: what may follow, for the scripts themselves")
    parser.add_argument("words", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Print a script, or candidates one a line."""
    args = get_parser().parse_args(argv)
    if args.shell in SCRIPTS:
        print(SCRIPTS[args.shell], end="")
        return 0
    print("\n".join(candidates(args.words)))
    return 0


def candidates(words: Sequence[str]) -> list[str]:
    """What may stand in place of the last word, which may be empty."""
    *before, last = words or [""]
    if not before:
        return [name for name in COMMANDS if name.startswith(last)]
    if not last.startswith("-") or before[0] not in COMMANDS:
        return []  # a value or a file, which the shell knows better
    module = importlib.import_module(module_of(before[0]))
    if "get_parser" in vars(module):
        options = [option for action in module.get_parser()._actions for option in action.option_strings]
    else:  # train: its help names them
        options = re.findall(r"(?<!\S)--\w+", module.__doc__ or "")
    return sorted({option for option in options if option.startswith(last)})


if __name__ == "__main__":
    run_main(main)
