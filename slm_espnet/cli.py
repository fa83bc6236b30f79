"""The command `slm-espnet`: one name for every command of the toolkit.

    slm-espnet --help                    all commands
    slm-espnet transcribe a.wav --model user/name
    slm-espnet recipe mini my_recipe     a recipe's folder, wherever you are
    slm-espnet completion bash           completion for a shell (bash, zsh, fish)

`slm-espnet NAME …` is `python -m slm_espnet.bin.NAME …`.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Sequence

GROUPS = {  # command → what it does; its module has the same name, with _ for -
    "use a model": {
        "transcribe": "ask a model about recordings: files, or folders of them",
        "demo": "a page in the browser to talk to a model",
        "download": "get a model from the Hub and check it",
    },
    "make one": {
        "recipe": "lay out a recipe's folder: all stages from data to results",
        "plan": "what a pair of models needs, before anything is downloaded",
        "scale": "what a corpus needs on many GPUs, before anything is encoded",
        "report": "the page of an experiment: curves, errors, examples",
        "compare": "several experiments side by side",
        "pack": "a folder with all that a trained adapter needs elsewhere, and a card",
        "upload": "put it on the Hugging Face Hub",
    },
    "stages of a recipe, one by one": {
        "check-data": "stage 1: check data directories, and write what can be used",
        "self-target": "stage 1: the language model's own answers as targets",
        "segment": "cut recordings of any length into pieces",
        "encode": "stage 2: run the frozen speech encoder over every recording, once",
        "stats": "stage 3: lengths for batches, and what is left out",
        "train": "stage 4: train the adapter",
        "average": "stage 4: average the best checkpoints",
        "decode": "stage 5: decode test sets",
        "score": "stage 6: WER, BLEU and the other scores, RESULTS.md",
        "biasing-lists": "the sets of a contextual biasing benchmark",
        "tune-biasing": "stage 5: tune contextual biasing on development sets",
        "score-biasing": "U-WER and B-WER on a contextual biasing benchmark",
        "asr-train": "train a small encoder of ESPnet's, as the mini recipe's is",
    },
    "about this installation": {
        "version": "versions, machine and places: what a report of a bug needs",
        "completion": "completion of commands and options for bash, zsh or fish",
    },
}
COMMANDS = {name: help_text for group in GROUPS.values() for name, help_text in group.items()}
SHELLS = ("bash", "zsh", "fish")
BASH = """\
_slm_espnet() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} options
    COMPREPLY=()
    if [ "${{COMP_CWORD}}" -eq 1 ]; then
        COMPREPLY=($(compgen -W "{names} --help" -- "${{word}}"))
    elif [[ ${{word}} == -* ]]; then
        options=$(slm-espnet "${{COMP_WORDS[1]}}" --help 2>/dev/null | grep -o -- '--[a-z0-9_]\\+' | sort -u)
        COMPREPLY=($(compgen -W "${{options}}" -- "${{word}}"))
    fi
}}
complete -o default -F _slm_espnet slm-espnet
"""


def overview() -> str:
    """All commands in groups."""
    width = max(map(len, COMMANDS))
    lines = ["usage: slm-espnet COMMAND …          slm-espnet COMMAND --help explains each", ""]
    for title, commands in GROUPS.items():
        lines += [f"{title}:", *(f"  {name:<{width}}  {text}" for name, text in commands.items()), ""]
    return "\n".join([*lines, "https://arxiv.org/abs/2310.00230 is the paper; README.md has the first steps."])


def completion(shell: str) -> str:
    """A script for the shell's start-up file.

    Raises:
        ValueError: another shell.
    """
    if shell not in SHELLS:
        raise ValueError(f"completion is for {', '.join(SHELLS)}, not {shell!r}")
    if shell == "fish":
        at_first = "complete -c slm-espnet -f -n __fish_use_subcommand"
        lines = [f"{at_first} -a {name} -d {text!r}" for name, text in COMMANDS.items()]
        asked = "(slm-espnet (commandline -opc)[2] --help 2>/dev/null | string match -ar -- '--[a-z0-9_]+' | sort -u)"
        return "\n".join([*lines, f'complete -c slm-espnet -n "not __fish_use_subcommand" -a "{asked}"', ""])
    script = BASH.format(names=" ".join(COMMANDS))
    return script if shell == "bash" else f"autoload -U +X bashcompinit && bashcompinit\n{script}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    name, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if name in ("", "-h", "--help", "help"):
        print(overview())
        return 0 if name else 2
    name = "version" if name == "--version" else name.replace("_", "-")
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f", did you mean {near[0]}?" if near else ""
        print(f"error: there is no command {name!r}{hint} (slm-espnet --help has all)", file=sys.stderr)
        return 2
    if name == "completion":
        return _print_completion(rest)
    sys.argv = [f"slm-espnet {name}", *rest]  # what a command calls itself in its help
    return importlib.import_module(f"slm_espnet.bin.{name.replace('-', '_')}").main(rest) or 0


def _print_completion(arguments: Sequence[str]) -> int:
    try:
        print(completion(*arguments), end="")
    except (TypeError, ValueError):
        places = "bash: ~/.bashrc, zsh: ~/.zshrc, fish: ~/.config/fish/completions/slm-espnet.fish"
        print(f"usage: slm-espnet completion {'|'.join(SHELLS)}; put what it prints into {places}", file=sys.stderr)
        return 2
    return 0


def entry() -> None:
    """What the console script calls."""
    if {*sys.argv[1:2]} <= {"-h", "--help", "completion"}:  # nothing but text: no imports to prepare
        sys.exit(main())
    from slm_espnet.errors import run_main

    run_main(main)


if __name__ == "__main__":
    entry()
