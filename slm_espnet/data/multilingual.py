"""What data preparations of corpora in many languages share: which languages and splits, and how they are called.

Each writes the sets `train`, `dev` and `test`, with all chosen languages in them; mixing, training reports and scores
are by language (and language pair) within a set.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from slm_espnet.data.corpus import CorpusWriter
from slm_espnet.data.datadir import AudioSource, Row
from slm_espnet.data.delimited import Record
from slm_espnet.data.table import Problem
from slm_espnet.errors import UserError
from slm_espnet.tasks.languages import primary

SPLITS = ("train", "dev", "test")
# Publishers' codes whose language is not what stands before the region.
CODES = {"zh-hk": "yue", "cmn": "zh", "tl": "fil"}


def add_split_option(parser: argparse.ArgumentParser) -> None:
    """Option --splits of a data preparation."""
    parser.add_argument("--splits", default=",".join(SPLITS), help="which of the splits are prepared")


def add_language_option(parser: argparse.ArgumentParser, languages: str) -> None:
    """Option --languages of a data preparation, with its default."""
    message = f"codes, separated by commas; all: all there (default: {languages})"
    parser.add_argument("--languages", default=languages, help=message)


def chosen(value: str, known: Iterable[str], what: str) -> list[str]:
    """The entries of an option's value, each once, in its order; `all` is all that are known.

    Raises:
        UserError: an entry is unknown, or there is none.
    """
    known = list(known)
    entries = list(dict.fromkeys(value.replace(",", " ").split()))
    if entries == ["all"]:
        entries = known
    unknown = [entry for entry in entries if entry not in known]
    if unknown or not entries:
        raise UserError(f"{what}: {' '.join(unknown) or 'nothing'} is not among {' '.join(known) or 'what is there'}")
    return entries


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


@dataclass(frozen=True)
class Utterance:
    """One recording of a corpus with its words."""

    split: str  # train, dev or test: the set that its rows are in
    utt_id: str
    audio: AudioSource
    words: str
    language: str  # code as in utt2lang
    speaker: str  # as in utt2spk
    where: str  # place in the corpus, file:line


def add_recognition(writer: CorpusWriter, utterance: Utterance) -> None:
    """Add a row of task `asr`."""
    one = utterance
    prompt = writer.prompt("asr", one.utt_id, training=one.split == "train", language=one.language)
    row = Row(one.utt_id, one.audio, one.words, prompt, "asr", one.language, one.speaker, transcript=one.words)
    writer.add(one.split, row, one.where)


def add_translation(
    writer: CorpusWriter, utterance: Utterance, translation: str, target: str, task: str = "ast"
) -> None:
    """Add a row of task `ast`, or of `asr_then_ast`, whose target is the transcript and then the translation.

    Args:
        writer: takes the row, or leaves it out where the translation is empty.
        utterance: what is said; the row's id is its id with the task and the language of the translation.
        translation: what it means.
        target: code of the language of the translation.
        task: which of the two.
    """
    one = utterance
    utt_id = f"{one.utt_id}-{task}-{target}"
    text = translation
    if task == "asr_then_ast" and text.strip():
        try:
            text = writer.task(task).join(transcript=one.words, translation=translation)
        except UserError as error:  # a text holds the words that part the two
            writer.leave_out(one.split, utt_id, "marker in text", one.where, str(error))
            return
    training = one.split == "train"
    row = Row(
        utt_id=utt_id,
        audio=one.audio,
        text=text,
        prompt=writer.prompt(task, utt_id, training=training, source=one.language, target=target),
        task=task,
        language=one.language,
        speaker=one.speaker,
        transcript=one.words,
        target_language=target,
    )
    writer.add(one.split, row, one.where)


def first_that_exists(candidates: Sequence[Path], what: str, cure: str) -> Path:
    """The first path that exists; layouts of a corpus differ between its ways of being published.

    Raises:
        UserError: none does; names the first and the cure.
    """
    for path in candidates:
        if path.exists():
            return path
    raise UserError(f"{candidates[0]}: no such {what}; {cure}")
