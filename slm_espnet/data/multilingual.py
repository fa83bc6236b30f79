"""What data preparations of corpora in many languages share: which languages and splits, and how they are called.

Each writes the sets `train`, `dev` and `test`, with all chosen languages in them; mixing, training reports and scores
are by language (and language pair) within a set.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from slm_espnet.data.corpus import CorpusWriter
from slm_espnet.data.delimited import Record
from slm_espnet.data.split import SPLITS
from slm_espnet.data.table import Problem
from slm_espnet.errors import UserError
from slm_espnet.tasks.languages import primary

# Publishers' codes whose language is not what stands before the region.
CODES = {"zh-hk": "yue", "cmn": "zh", "tl": "fil"}


def add_split_option(parser: argparse.ArgumentParser) -> None:
    """Option --splits of a data preparation."""
    parser.add_argument("--splits", default=",".join(SPLITS), help="which of the splits are prepared")


def add_language_option(parser: argparse.ArgumentParser, languages: str) -> None:
    """Option --languages of a data preparation, with its default."""
    message = f"codes, separated by commas; all: all there (default: {languages})"
    parser.add_argument("--languages", default=languages, help=message)


def iso_code(code: str) -> str:
    """The language of a publisher's code, in ISO 639-1 where it has one: sv-SE → sv, zh-HK → yue, cmn_hans_cn → zh."""
    whole = code.replace("_", "-").lower()
    return CODES.get(whole) or CODES.get(primary(code), primary(code))


def good_records(writer: CorpusWriter, set_name: str, records: Iterable[Record | Problem]) -> Iterator[Record]:
    """Records without those that are not right, which the writer counts as left out of a set."""
    for record in records:
        if isinstance(record, Problem):
            writer.leave_out(set_name, "-", record.reason, record.where, record.message)
        else:
            yield record


def first_that_exists(candidates: Sequence[Path], what: str, cure: str) -> Path:
    """The first path that exists; layouts of a corpus differ between its ways of being published.

    Raises:
        UserError: none does; names the first and the cure.
    """
    for path in candidates:
        if path.exists():
            return path
    raise UserError(f"{candidates[0]}: no such {what}; {cure}")
