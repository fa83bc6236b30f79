"""The Wall Street Journal corpora as LDC ships them: discs, index files and transcripts. Lhotse has no recipe for them.

WSJ0 (LDC93S6A or LDC93S6B) and WSJ1 (LDC94S13A or LDC94S13B) are folders of discs, `11-1.1` to `13-34.1`. Index files
list `13_16_1:wsj1/si_tr_s/4ak/4akc0201.wv1`: the disc, and the recording on it. Transcripts are lines
`words (4akc0201)` in *.dot files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

DISC = re.compile(r"(?P<volume>1[13])[-_](?P<number>\d+)[-_.](?P<side>\d)")
INDEX_LINE = re.compile(r"(?P<disc>1[13][-_]\d+[-_.]\d)\s*:\s*(?P<path>\S+)")
DOT_LINE = re.compile(r"(?P<words>.*)\((?P<id>\w+)\)\s*")
# set → index files: any of these on any disc; a directory's name decides where two have the same name
INDICES = {
    "train_si84": ("wsj0/doc/indices/train/tr_s_wv1.ndx",),
    "train_si284": ("wsj0/doc/indices/train/tr_s_wv1.ndx", "wsj1/doc/indices/si_tr_s.ndx"),
    "test_dev93": ("wsj1/doc/indices/h1_p0.ndx",),
    "test_eval92": ("wsj0/doc/indices/test/nvp/si_et_20.ndx",),
    "test_eval93": ("wsj1/doc/indices/wsj1/eval/h1_p0.ndx",),
}
NOISE = re.compile(r"\[[^\]]*\]|~")  # [door_slam], [<cough]; ~: cut off
BEGUN = re.compile(r"<([\w'-]+)>")  # a word that the speaker took back
VERBALIZED = re.compile(r"(?:[^\w\s']+|'(?=SINGLE))([A-Z][A-Z-]+)")  # ,COMMA: punctuation that was spoken


def discs(roots: Iterable[Path]) -> dict[str, Path]:
    """Folders of discs below the roots (at most three levels deep) by their names, as `13_16_1`."""
    found = {}
    for root in roots:
        for pattern in ("*", "*/*", "*/*/*"):
            for path in sorted(root.glob(pattern)):
                name = DISC.fullmatch(path.name)
                if name is not None and path.is_dir():
                    found.setdefault("_".join(name.groups()), path)
    return found


def find_index(folders: dict[str, Path], name: str) -> Path | None:
    """An index file on whatever disc it is."""
    paths = (folder / name for folder in folders.values())
    return next((path for path in paths if path.is_file()), None)


def disc_name(name: str) -> str:
    """`13-16.1` and `13_16_1` as `13_16_1`; the index of eval93 names disc 13-32.1 for recordings of 13-33.1."""
    name = "_".join(DISC.fullmatch(name).groups())
    return "13_33_1" if name == "13_32_1" else name


def spoken(text: str) -> str:
    """The words of a transcript in lower case; punctuation that was read out is its name: `,COMMA` is `comma`."""
    words = []
    for token in NOISE.sub(" ", text.replace("\\", "")).split():
        punctuation = VERBALIZED.fullmatch(token)
        if punctuation is not None:
            words.append(punctuation[1].replace("-", " "))  # "DOUBLE-QUOTE
        else:
            words.append(BEGUN.sub(r"\1", token).strip("*!").replace(":", ""))
    return " ".join(word.lower() for word in words if word.strip(".-,;\"'"))
