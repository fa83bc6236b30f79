"""doc/FAULTS.md: every test that it names is there."""

from __future__ import annotations

import re

NAME = re.compile(r"`([\w/]+\.py)::(test_\w+)`")


def test_every_test_of_the_table_exists(top):
    text = (top / "doc" / "FAULTS.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| fault")]
    assert rows and all(NAME.search(row) for row in rows), "no row without a test"
    missing = [f"{path}::{name}" for path, name in NAME.findall(text)
               if f"\ndef {name}(" not in (top / "tests" / path).read_text(encoding="utf-8")]  # fmt: skip
    assert not missing
    assert text.count("::") == len(NAME.findall(text)), "names are written as file::test"
