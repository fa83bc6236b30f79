"""Text examples for the miniature language model: what is read, what is answered, as token ids.

The layout is that of slm_espnet.prompt.PromptTemplate with the mini pair's settings: text, "<sp>", context,
instruction, end of sequence, each part tokenized by itself.
"""

from __future__ import annotations

import csv
import gzip
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import sentencepiece as spm
from mini_corpus.grammar import COMMON_NAMES, RARE_NAMES, generate, generate_dictation, held_out, invented_name
from mini_corpus.tasks import Task, examples, name_list
from mini_corpus.text_noise import confuse_sounds, corrupt

PAD, EOS = 0, 1
SEPARATOR = "<sp>"
MAX_NAMES = 12  # longest list of names in a prompt
Pair = tuple[list[int], list[int]]  # input ids, output ids


@dataclass(frozen=True)
class DataConfig:
    """Shares and frequencies of the kinds of training examples; conf/train.yaml explains them."""

    noisy: float = 0.3
    sampled: float = 0.3
    instruction_first: float = 0.15
    mixed_tokens: float = 0.06
    tasks: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TextExample:
    """One thing to read and the answer, in words."""

    task: str
    variant: str
    source: str
    instruction: str
    target: str
    names: tuple[str, ...] = ()  # the list of possible names in the prompt


def read_running_text(folder: str | Path) -> list[str]:
    """Sentences of LJ Speech's metadata*.csv[.gz] in `folder` as a-z, ' and space; its dev split is left out."""
    paths = sorted(Path(folder).glob("metadata*.csv*"))
    if not paths:
        raise FileNotFoundError(f"{folder}: no metadata*.csv or metadata*.csv.gz (LJ Speech's list of sentences)")
    left_out = _dev_ids(Path(folder) / "manifest.tsv")
    opener = gzip.open if paths[0].suffix == ".gz" else open
    sentences = []
    with opener(paths[0], "rt", encoding="utf-8") as file:
        for row in csv.reader(file, delimiter="|", quoting=csv.QUOTE_NONE):
            if row[0] not in left_out:
                words = re.sub(r"[^a-z' ]", " ", row[-1].lower().replace("-", " ")).split()
                words = [word.strip("'") for word in words if word.strip("'")]
                if words:
                    sentences.append(" ".join(words))
    return sentences


def _dev_ids(manifest: Path) -> frozenset[str]:
    if not manifest.exists():
        return frozenset()
    with open(manifest, encoding="utf-8") as file:
        return frozenset(row["id"] for row in csv.DictReader(file, delimiter="\t") if row["split"] != "train")


class ExampleMaker:
    """Draws training examples, and test examples from the sentences that training never sees."""

    def __init__(self, config: DataConfig, tasks: dict[str, Task], running_text: Sequence[str] = ()) -> None:
        self.config = config
        self.tasks = tasks
        self.running_text = running_text
        kinds = {kind: weight for kind, weight in config.tasks.items() if kind != "tokens"}
        if not running_text:
            kinds.pop("text", None)
        self._kinds, self._weights = list(kinds), list(kinds.values())

    def draw(self, rng: random.Random) -> TextExample:
        """One training example; its sentence is not held out."""
        kind = rng.choices(self._kinds, self._weights)[0]
        if kind in ("dictation", "text"):
            return self._copy(rng, kind)
        task, _, variant = kind.partition("_") if kind != "asr_biasing" else (kind, "", "en")
        while True:
            sentence = generate(rng, self._names(rng), need_name=task == "asr_biasing" and rng.random() < 0.8)
            found = [e for e in examples(sentence) if e.task == task and variant in ("", e.variant)]
            if task == "asr_biasing" and not found:
                return self._harmless_list(rng, sentence.english)
            if found and not held_out(sentence.english):
                break
        example = rng.choice(found)
        return self._ask(rng, example, sentence.names)

    def test_example(self, rng: random.Random, task: str, variant: str = "", names: Sequence[str] = ()) -> TextExample:
        """One clean example of a task (of any variant if none is named) from a held-out sentence, as evaluated."""
        while True:
            sentence = generate(rng, names or self._names(rng), need_name=task == "asr_biasing")
            found = [e for e in examples(sentence) if e.task == task and variant in ("", e.variant)]
            if found and held_out(sentence.english):
                break
        example = rng.choice(found)
        prompt = self.tasks[task].prompt(example.variant)
        listed = name_list(rng, sentence.names, RARE_NAMES, 10) if task == "asr_biasing" else ()
        return TextExample(task, example.variant, example.source, prompt, example.target, tuple(listed))

    def test_dictation(self, rng: random.Random) -> TextExample:
        """One dictated utterance that training never sees, to be copied."""
        while not held_out(text := generate_dictation(rng)):
            pass
        return TextExample("asr", "en", text, self.tasks["asr"].prompt("en"), text)

    def _copy(self, rng: random.Random, kind: str) -> TextExample:
        if kind == "text":
            words = rng.choice(self.running_text).split()
            size = rng.randint(3, 14)
            start = rng.randrange(max(1, len(words) - size + 1))
            text = " ".join(words[start : start + size])
        else:
            while held_out(text := generate_dictation(rng)):
                pass
        return TextExample("asr", "en", text, self.tasks["asr"].prompt("en", rng), text)

    def _ask(self, rng: random.Random, example, names: tuple[str, ...]) -> TextExample:
        """Word a question about a sentence; the source may have errors, the answer has none."""
        source, listed = example.source, ()
        if rng.random() < self.config.noisy:
            source = corrupt(rng, source, rng.choice((0.08, 0.15, 0.25)), keep=names) or source
        is_english = example.source_language == "en"
        if names and (example.task == "asr_biasing" or (is_english and rng.random() < 0.08)):
            listed = name_list(rng, names, self._other_names(rng), rng.randint(max(2, len(names)), MAX_NAMES))
            if rng.random() < 0.75:  # the names are misheard: the list has them right
                heard = {name: confuse_sounds(rng, name, rng.randint(1, 3)) for name in names}
                source = " ".join(heard.get(word, word) for word in source.split())
        prompt = self.tasks[example.task].prompt(example.variant, rng)
        return TextExample(example.task, example.variant, source, prompt, example.target, tuple(listed))

    def _harmless_list(self, rng: random.Random, text: str) -> TextExample:
        listed = rng.sample(self._other_names(rng), rng.randint(2, MAX_NAMES))
        prompt = self.tasks["asr_biasing"].prompt("en", rng)
        return TextExample("asr_biasing", "en", text, prompt, text, tuple(listed))

    def _names(self, rng: random.Random) -> list[str]:
        return [self._name(rng) for _ in range(2)] + [rng.choice(COMMON_NAMES) for _ in range(2)]

    def _name(self, rng: random.Random) -> str:
        draw = rng.random()
        if draw < 0.45:
            return invented_name(rng)
        return rng.choice(COMMON_NAMES if draw < 0.65 else RARE_NAMES)

    def _other_names(self, rng: random.Random) -> list[str]:
        return sorted({self._name(rng) for _ in range(3 * MAX_NAMES)})


class Encoder:
    """Turns examples into token ids in the layout of the prompt template."""

    def __init__(self, model_file: str | Path) -> None:
        self.pieces = spm.SentencePieceProcessor(model_file=str(model_file))
        self.vocab_size = self.pieces.get_piece_size()
        self.separator = self.pieces.piece_to_id(SEPARATOR)
        self._known: dict[str, list[int]] = {}

    def encode(self, text: str) -> list[int]:
        """Ids of one part; instructions are remembered."""
        if text not in self._known:
            if len(self._known) > 500:
                self._known.clear()
            self._known[text] = self.pieces.encode(text)
        return self._known[text]

    def sample(self, text: str, alpha: float, rng: random.Random) -> list[int]:
        """Ids of a random segmentation: words cut at random places with rate alpha (seeded, unlike sentencepiece's)."""
        ids: list[int] = []
        for word in text.split():
            if len(word) > 1 and rng.random() < alpha:
                cut = rng.randrange(1, len(word))
                ids += self.pieces.encode(word[:cut])
                ids += self.inside(word[cut:])
            else:
                ids += self.pieces.encode(word)
        return ids

    def inside(self, text: str) -> list[int]:
        """Ids of text that continues a word, that is without the leading word mark."""
        ids = self.pieces.encode("a" + text)
        pieces = [self.pieces.id_to_piece(i) for i in ids]
        if pieces[0] == "\u2581a":
            return ids[1:]
        return [self.pieces.piece_to_id(letter) for letter in text]

    def training_ids(self, example: TextExample, rng: random.Random, config: DataConfig) -> Pair:
        """Ids of a training example, segmentation and order varied as configured."""
        if rng.random() < config.sampled:
            source = self.sample(example.source, rng.choice((0.1, 0.3, 0.6)), rng)
        else:
            source = self.pieces.encode(example.source)
        return self._layout(source, example, rng.random() < config.instruction_first)

    def test_ids(self, example: TextExample) -> list[int]:
        """Input ids of a test example."""
        return self._layout(self.pieces.encode(example.source), example, False)[0]

    def _layout(self, source: list[int], example: TextExample, instruction_first: bool) -> Pair:
        context = self.pieces.encode("possible names " + " ".join(example.names)) if example.names else []
        asked = [*context, *self.encode(example.instruction)]
        parts = (asked, source) if instruction_first else (source, asked)
        return [*parts[0], self.separator, *parts[1], EOS], [*self.pieces.encode(example.target), EOS]

    def random_copy(self, rng: random.Random, longest: int, bare: bool, instruction: str) -> Pair:
        """Random tokens to be copied, from an alphabet of random size so that repetitions occur."""
        alphabet = self.vocab_size if rng.random() < 0.6 else rng.randint(3, 30)
        letters = [rng.randrange(3, self.vocab_size) for _ in range(alphabet)] if alphabet <= 30 else None
        size = rng.randint(2, longest)
        draw = (lambda: rng.choice(letters)) if letters else (lambda: rng.randrange(3, self.vocab_size))
        ids = [i for i in (draw() for _ in range(size)) if i != self.separator] or [3]
        asked = [] if bare else self.encode(instruction)
        return [*ids, self.separator, *asked, EOS], [*ids, EOS]
