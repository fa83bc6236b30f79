"""Small text files, as every room writes and reads them: in place at once, and with errors that name file and cure.

Importing this loads neither torch nor any other package.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from slm_espnet.errors import UserError


def write_atomically(path: Path, text: str) -> None:
    """Write a UTF-8 text file so that it is either the old or the new one, whatever happens in between.

    Raises:
        UserError: the file cannot be written, for instance because the disk is full.
    """
    temporary = path.with_name(f".{path.name}.tmp{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"cannot write {path} ({error.strerror}); make room and run it again") from error
    finally:
        temporary.unlink(missing_ok=True)


def read_yaml(path: Path, what: str, cure: str = "check the path") -> Any:
    """The values of a YAML file, None where it is empty.

    Args:
        path: the file.
        what: what it is, for the errors: "the tasks file".
        cure: what to do where it is missing.

    Raises:
        UserError: missing or unreadable, not UTF-8, or not YAML.
    """
    import yaml

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot read {what} ({error.strerror}); {cure}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a valid UTF-8 YAML file: {' '.join(str(error).split())}") from error
