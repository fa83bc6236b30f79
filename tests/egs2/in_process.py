"""A recipe's local/prepare.py in this process: what many bad corpora are tried on, in milliseconds each."""

from __future__ import annotations

import contextlib
import io
import runpy
import sys
from pathlib import Path

import pytest
from corpus_harness import TOP, Work


def prepare(recipe: str, folder: Path, *options: object, check: bool = True) -> Work:
    """Data directories below folder/data.

    Args:
        recipe: folder of egs2.
        folder: where it writes.
        options: of prepare.py, with --corpus.
        check: whether it must succeed.
    """
    top = TOP / "egs2" / recipe / "slm1"
    script = top / "local" / "prepare.py"
    options = ("--data_dir", folder / "data", "--tasks_config", top / "conf" / "tasks.yaml", *options)
    said, status = io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        patch.setattr(sys, "argv", [str(script), *map(str, options)])
        patch.syspath_prepend(script.parent)
        try:
            runpy.run_path(str(script), run_name="__main__")
        except SystemExit as stop:
            status = stop.code
    assert not check or status == 0, said.getvalue()
    return Work(folder, status, said.getvalue())
