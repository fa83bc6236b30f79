"""`slm-espnet COMMAND …`: the commands of slm_espnet.bin under one name. Code is imported when it is called."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

COMMANDS = {  # in the order of their use
    "recipe": "make a folder in which a recipe runs: librispeech, an4, your own data, …",
    "plan": "parameters and memory of a pair of models, before anything is downloaded",
    "scale": "hours, bytes and files that a corpus needs on 8 to 512 GPUs",
    "check-data": "check data directories, and repair what can be repaired",
    "segment": "cut long recordings into pieces",
    "encode": "run the frozen speech encoder over all recordings, once",
    "self-target": "make training targets of the language model's own answers",
    "stats": "lengths of all examples, which training needs",
    "train": "train the adapter",
    "average": "write the adapter from averaged weights",
    "decode": "answers for a test set",
    "tune-biasing": "choose the threshold of contextual biasing",
    "score": "scores of an experiment's answers",
    "score-biasing": "scores of a contextual biasing benchmark",
    "biasing-lists": "word lists of a contextual biasing benchmark",
    "compare": "several experiments side by side",
    "report": "a page about an experiment",
    "transcribe": "ask a trained model about recordings",
    "demo": "a page in the browser to talk to a trained model",
    "pack": "everything that a trained model needs elsewhere, in one folder",
    "upload": "put a package on the Hugging Face Hub",
    "download": "get a package from there",
    "version": "what a report of a fault needs",
    "completion": "completion by the Tab key, for bash, zsh and fish",
}
USAGE = """\
usage: slm-espnet COMMAND [OPTIONS]

Join a frozen speech encoder to a frozen language model by a small trained adapter.

{commands}

slm-espnet COMMAND --help explains a command. A first answer: slm-espnet transcribe talk.wav --model user/name
A first training: slm-espnet recipe an4 an4; cd an4; ./run.sh"""


def module_of(command: str) -> str:
    """The module of a command's name."""
    return f"slm_espnet.bin.{command.replace('-', '_')}"


def usage() -> str:
    """All commands, a line each."""
    width = max(map(len, COMMANDS))
    return USAGE.format(commands="\n".join(f"  {name:{width}}  {about}" for name, about in COMMANDS.items()))


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command; ends the process with its status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        sys.exit(0 if arguments else 2)
    command = {"--version": "version"}.get(arguments[0], arguments[0]).replace("_", "-")
    if command not in COMMANDS:
        print(f"error: slm-espnet has no command {arguments[0]!r}; slm-espnet --help lists them", file=sys.stderr)
        sys.exit(2)
    from slm_espnet.errors import run_main

    module = importlib.import_module(module_of(command))
    # its own help speaks of `python -m slm_espnet.bin.…`; argparse takes its name from here
    module.__doc__ = (module.__doc__ or "").replace("python -m slm_espnet.bin.", "slm-espnet ")
    sys.argv = [f"slm-espnet {command}", *arguments[1:]]
    run_main(module.main)


if __name__ == "__main__":
    main()
