"""Messages that doc/TROUBLESHOOTING.md quotes are those of the code, and links of the documents lead somewhere."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
TEXT = (TOP / "doc" / "TROUBLESHOOTING.md").read_text(encoding="utf-8")
# lines after > and, in the table about clusters, what stands in quotation marks; … stands for what differs
QUOTED = [*re.findall(r"^> (.+)$", TEXT, re.MULTILINE), *re.findall(r'"([^"]{12,})"', TEXT.split("# On a cluster")[1])]
DOCUMENTS = ("README.md", "egs2/README.md", "egs2/TEMPLATE/slm1/README.md", "doc/HOWTO.md", "doc/TROUBLESHOOTING.md",
             "doc/scale.md", "doc/FOUNDATIONS.md")  # fmt: skip


@cache
def strings() -> tuple[str, ...]:
    """All texts of the code: of Python the literals, with NUL for what is put in; of shell scripts the whole."""
    found = []
    for path in [*(TOP / "slm_espnet").rglob("*.py"), *(TOP / "utils").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                found.append("".join(part.value if isinstance(part, ast.Constant) else "\0" for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return (*found, *(path.read_text(encoding="utf-8") for path in (TOP / "egs2/TEMPLATE/slm1").glob("*.sh")))


@pytest.mark.parametrize("message", QUOTED)
def test_a_quoted_message_is_in_the_code(message):
    parts = [part.strip() for part in message.split("…")]
    assert max(map(len, parts)) >= 12, "too little to be found by"
    wanted = re.compile(".*?".join(map(re.escape, parts)), re.DOTALL)
    assert any(wanted.search(text) for text in strings())


def test_there_are_messages_enough():
    assert len(QUOTED) > 25


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_to_files_and_headings(name):
    path = TOP / name
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("https://", "http://")):
            continue
        file, _, anchor = target.partition("#")
        linked = path if not file else path.parent / file
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in anchors, target
