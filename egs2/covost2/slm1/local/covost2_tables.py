"""The tables of CoVoST 2 as they are published, joined with Common Voice 4.

    covost_v2.de_en.tsv[.tar.gz]              path, translation, split
    covost_v2.de_en.{train,dev,test}.tsv      path, sentence, translation, client_id: made of the former by its authors
    <Common Voice 4>/de/validated.tsv         client_id, path, sentence, …
    <Common Voice 4>/de/clips/*.mp3

A backslash in these tables says that the next character is text, be it a tab, a line end or a quotation mark.
Lhotse has no recipe for CoVoST 2, hence this reader.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from slm_espnet.data.delimited import Record, read_delimited, unquote
from slm_espnet.data.split import SPLITS
from slm_espnet.data.table import Problem
from slm_espnet.errors import UserError
from slm_espnet.options import split_names

# arXiv 2007.10310, table 1, in the codes of Common Voice.
INTO_ENGLISH = "fr de es ca it ru zh-CN pt fa et mn nl tr ar sv-SE lv sl ta ja id cy".split()
FROM_ENGLISH = "de tr fa sv-SE mn zh-CN cy ca sl et id ar ta lv ja".split()
DIRECTIONS = {
    **{f"{language}_en": (language, "en") for language in INTO_ENGLISH},
    **{f"en_{language}": ("en", language) for language in FROM_ENGLISH},
}
GROUPS = {"all": DIRECTIONS, "x_en": [f"{x}_en" for x in INTO_ENGLISH], "en_x": [f"en_{x}" for x in FROM_ENGLISH]}
# Marks in the table's column `split`: version 2 trains on what version 1 had set aside, too, and on that alone.
SPLIT_OF = {"train": "train", "train_covost": "train", "dev": "dev", "test": "test"}
UNUSED = ("dev_covost", "test_covost")


@dataclass(frozen=True)
class Pair:
    """One recording with its words and their translation."""

    where: str  # file:line of the table
    split: str  # train, dev or test; one of UNUSED
    path: str  # the recording in clips
    sentence: str
    translation: str
    speaker: str


def parse_directions(value: str) -> list[str]:
    """Directions of an option: `de_en`, `en_sv-SE` (or `en_sv`), and the groups all, x_en and en_x.

    Raises:
        UserError: CoVoST 2 has no such direction.
    """
    short = {"_".join(code.partition("-")[0] for code in pair): name for name, pair in DIRECTIONS.items()}
    directions: dict[str, None] = {}
    for entry in split_names(value):
        if entry in GROUPS:
            directions.update(dict.fromkeys(GROUPS[entry]))
        elif entry in DIRECTIONS or entry in short:
            directions[entry if entry in DIRECTIONS else short[entry]] = None
        else:
            raise UserError(f"--directions: CoVoST 2 has no {entry!r}; it has {' '.join(DIRECTIONS)}, x_en, en_x, all")
    if not directions:
        raise UserError("--directions: none is given, such as de_en")
    return list(directions)


def read_direction(root: Path, direction: str, sentences: Sentences) -> Iterator[Pair | Problem]:
    """All rows of a direction, from the published table, or else from the tables of its splits.

    Raises:
        UserError: there is neither, or it is damaged.
    """
    places = (root, root / direction, root / DIRECTIONS[direction][0])
    for name in (f"covost_v2.{direction}.tsv", f"covost_v2.{direction}.tsv.tar.gz"):
        for table in (place / name for place in places):
            if table.is_file():
                yield from _published(table, sentences)
                return
    for place in places:
        if (place / f"covost_v2.{direction}.train.tsv").is_file():
            for split in SPLITS:
                yield from _split(place / f"covost_v2.{direction}.{split}.tsv", split)
            return
    raise UserError(f"{root}: no covost_v2.{direction}.tsv (or .tsv.tar.gz); bring it, or take it out of --directions")


def _published(table: Path, sentences: Sentences) -> Iterator[Pair | Problem]:
    for record in read_delimited(table, required=("path", "translation", "split"), quoting="backslash"):
        if isinstance(record, Problem):
            yield record
            continue
        where, values = record
        split, path = values["split"], values["path"]
        found = sentences.find(path, where)
        if split not in SPLIT_OF and split not in UNUSED:
            known = ", ".join((*SPLIT_OF, *UNUSED))
            yield Problem("unknown split", where, f"the split is {split!r}, not one of {known}; correct the line")
        elif isinstance(found, Problem):
            yield found
        else:
            sentence, speaker = found
            yield Pair(where, SPLIT_OF.get(split, split), path, sentence, values["translation"], speaker)


def _split(table: Path, split: str) -> Iterator[Pair | Problem]:
    columns = ("path", "sentence", "translation", "client_id")
    for record in read_delimited(table, required=columns, quoting="backslash"):
        if isinstance(record, Problem):
            yield record
            continue
        where, values = record
        sentence = unquote(values["sentence"].strip())
        yield Pair(where, split, values["path"], sentence, values["translation"], values["client_id"])


class Sentences:
    """validated.tsv of a language: what is said in each recording, and by whom. It is read when first asked."""

    def __init__(self, table: Path) -> None:
        self.table = table
        self._found: dict[str, tuple[str, str] | Problem] | None = None  # recording → sentence, speaker
        self._problems: list[Problem] = []  # lines that cannot be read: nobody knows whose they are

    def find(self, path: str, where: str) -> tuple[str, str] | Problem:
        """Sentence and speaker of a recording; `where` is the place that asks."""
        if self._found is None:
            self._found = {}
            for record in read_delimited(self.table, required=("client_id", "path", "sentence"), quoting="backslash"):
                if isinstance(record, Problem):
                    self._problems.append(record)
                else:
                    self._add(record, self._found)
        if path in self._found:
            return self._found[path]
        message = f"{path} is not in {self.table}: is this release 4 of Common Voice?"
        if self._problems:
            first = self._problems[0]
            message += f" {len(self._problems)} lines of it cannot be read, the first: {first.where}: {first.message}"
        return Problem("not in validated.tsv", where, message)

    def _add(self, record: Record, found: dict[str, tuple[str, str] | Problem]) -> None:
        where, values = record
        entry = (unquote(values["sentence"].strip()), values["client_id"])
        if found.setdefault(values["path"], entry) != entry:
            message = f"{values['path']} occurs twice with different words; keep one of the lines"
            found[values["path"]] = Problem("duplicate id", where, message)
