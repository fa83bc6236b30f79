"""`--config file.yaml` for commands: keys are the options' names; what the command line says goes before."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from pathlib import Path

from slm_espnet.errors import UserError
from slm_espnet.files import read_yaml


def add_config_option(parser: argparse.ArgumentParser) -> None:
    """Add `--config`."""
    parser.add_argument("--config", type=Path, help="YAML with option names as keys; the command line goes before it")


def str2bool(text: str) -> bool:
    """true or false, as shell scripts write them."""
    values = {"true": True, "false": False}
    if text.lower() not in values:
        raise argparse.ArgumentTypeError(f"true or false, not {text!r}")
    return values[text.lower()]


def parse_with_config(parser: argparse.ArgumentParser, argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line over the values of `--config`.

    Raises:
        UserError: the file cannot be read, or has a key that is no option (the nearest one is named).
    """
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    add_config_option(finder)
    found, rest = finder.parse_known_args(argv)
    if found.config is None:
        return parser.parse_args(argv)
    return parser.parse_args([*_as_arguments(parser, found.config), *rest], argparse.Namespace(config=found.config))


def _as_arguments(parser: argparse.ArgumentParser, path: Path) -> list[str]:
    values = read_yaml(path, "the options of --config") or {}
    if not isinstance(values, dict):
        raise UserError(f"--config {path} must have option names as keys, such as `beam_size: 4`")
    known = [name for option in parser._actions for name in (option.dest,) if name not in ("help", "config")]
    arguments = []
    for key, value in values.items():
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            raise UserError(f"--config {path}: unknown key {key!r}{f', did you mean {near[0]!r}?' if near else ''}")
        if value is None:
            continue
        if isinstance(value, dict):
            raise UserError(f"--config {path}: {key} must be one value, not {value!r}")
        text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
        arguments.append(f"--{key}={text.lower() if isinstance(value, bool) else text}")
    return arguments
