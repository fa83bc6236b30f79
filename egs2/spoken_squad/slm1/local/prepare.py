"""SQuAD with spoken passages: questions in text about speech.

    python3 local/prepare.py --corpus /corpora/squad --data_dir data

Reads train-v1.1.json and dev-v1.1.json (or v2.0, whose questions without an answer are left out by design). Every
passage is spoken once by a synthesizer; its questions share the recording and are rows of their own. `test` is SQuAD's
development set with all its answers; `dev` are the passages of some articles of the training set, `train` those of the
others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from slm_espnet.data.corpus import corpus_folder, corpus_parser
from slm_espnet.data.datadir import Row
from slm_espnet.data.json_files import has_undecoded, read_json
from slm_espnet.data.speak import add_synthesis_options
from slm_espnet.data.split import split_groups
from slm_espnet.data.spoken_corpus import NO_AUDIO, SpokenCorpusWriter
from slm_espnet.data.table import Problem
from slm_espnet.errors import UserError, run_main

VERSIONS = ("v1.1", "v2.0")


@dataclass(frozen=True)
class Question:
    """One question about a passage."""

    where: str
    name: str
    article: str
    passage: str
    question: str
    answers: tuple[str, ...]  # all right ones, most frequent first; () where the passage has none


def read_questions(path: Path) -> Iterator[Question | Problem]:
    """Questions of a SQuAD file; one that is not right becomes a problem.

    Raises:
        UserError: missing, truncated, or no SQuAD file.
    """
    values = read_json(path)
    articles = values.get("data") if isinstance(values, dict) else None
    if not isinstance(articles, list):
        raise UserError(f"{path}: has no list `data` of articles; is it SQuAD's file?")
    for number, article in enumerate(articles, 1):
        for position, paragraph in enumerate(_list_in(article, "paragraphs"), 1):
            where = f"{path}, article {number}, paragraph {position}"
            for entry in _list_in(paragraph, "qas"):
                yield _question(where, article, paragraph, entry)


def _list_in(value, name: str) -> list:
    """A list in an object; what is not there is one broken entry, so that it is counted."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, list) else [None]


def _question(where: str, article, paragraph, entry) -> Question | Problem:
    try:
        passage, question = paragraph["context"], entry["question"]
        name, title = str(entry["id"]), article.get("title", where)
        texts = [answer["text"] for answer in entry["answers"]]
        if not all(isinstance(text, str) for text in (passage, question, title, *texts)):
            raise TypeError("a text is not a text")
    except (KeyError, TypeError, AttributeError) as error:
        what = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else "it is not laid out as SQuAD is"
        return Problem("malformed question", where, f"{what}; copy the file again")
    if has_undecoded([passage, question, *texts]):
        return Problem("not UTF-8", where, f"question {name} or its passage is not UTF-8; copy the file again")
    texts = [" ".join(text.split()) for text in texts if text.strip()]
    answers = sorted(dict.fromkeys(texts), key=lambda text: -texts.count(text))  # ties: as they come
    if not answers and not entry.get("is_impossible"):
        return Problem("question without answer", where, f"question {name} has none; copy the file again")
    return Question(where, name, title, passage, question, tuple(answers))


class Preparation:
    """The three sets."""

    def __init__(self, options) -> None:
        self.options = options
        self.writer = SpokenCorpusWriter(options)

    def run(self) -> None:
        """Everything."""
        train, test = self._files()
        questions = list(read_questions(train))
        articles = {found.article for found in questions if isinstance(found, Question)}
        sets = split_groups(articles, self.options.seed, self.options.dev_share, 0)
        for found in questions:
            self._add(sets[found.article] if isinstance(found, Question) else "train", found)
        for found in read_questions(test):
            self._add("test", found)
        self.writer.finish()

    def _files(self) -> tuple[Path, Path]:
        root = corpus_folder(self.options.corpus, "SQUAD")
        for version in VERSIONS:
            files = root / f"train-{version}.json", root / f"dev-{version}.json"
            if any(file.is_file() for file in files):
                corpus_folder(self.options.corpus, "SQUAD", *(file.name for file in files))
                return files
        wanted = " or ".join(f"train-{version}.json and dev-{version}.json" for version in VERSIONS)
        raise UserError(f"{root}: there is no {wanted}; correct SQUAD= in db.sh")

    def _add(self, set_name: str, found: Question | Problem) -> None:
        if isinstance(found, Problem):
            self.writer.leave_out(set_name, "-", found.reason, found.where, found.message)
            return
        utt_id = f"squad-{found.name}"
        words = len(found.passage.split())
        if not found.answers:
            self.writer.leave_out(set_name, utt_id, "no answer in the passage", found.where, unwanted=True)
            return
        if self.options.max_words and words > self.options.max_words:
            reason = f"passage of more than {self.options.max_words} words"
            self.writer.leave_out(set_name, utt_id, reason, found.where, unwanted=True)
            return
        prompt = self.writer.prompt("qa", utt_id, training=set_name == "train", question=found.question)
        references = found.answers if len(found.answers) > 1 else ()
        row = Row(
            utt_id, NO_AUDIO, found.answers[0], prompt, "qa", "en", "", transcript=found.passage, references=references
        )
        self.writer.say(set_name, row, found.passage, found.where, kind=set_name)


def main() -> None:
    """Run the command line."""
    parser = corpus_parser(__doc__)
    add_synthesis_options(parser)
    parser.add_argument("--dev_share", type=float, default=0.05, help="share of the training articles for validation")
    parser.add_argument("--max_words", type=int, default=300, help="longest passage that is spoken; 0: any")
    Preparation(parser.parse_args()).run()


if __name__ == "__main__":
    run_main(main)
