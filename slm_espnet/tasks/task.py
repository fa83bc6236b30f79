"""One task: prompt wordings, and targets in one or more parts, each with its scorer."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass, field

from slm_espnet.errors import UserError
from slm_espnet.tasks.languages import by_language, language_name

DEFAULT_VARIANT = "default"
LANGUAGE_FIELDS = ("language", "source", "target")  # fields of a wording whose value is a language code


@dataclass(frozen=True)
class Part:
    """What one part of a target is, and how it is scored."""

    name: str  # "" where the target is one whole
    scorer: str  # a name known to slm_espnet.scoring.metrics
    target: str  # transcript (the words spoken), translation or answer
    normalizer: Mapping[str, str]  # language of the target → a name known to slm_espnet.scoring.normalizers
    bleu_tokenize: Mapping[str, str] = field(default_factory=dict)  # likewise → sacrebleu's tokenizer, scorer bleu only
    marker: str = ""  # text before the part

    def normalizer_for(self, language: str) -> str:
        """Name of the normalizer for texts of a language."""
        return by_language(self.normalizer, language, "none")

    def bleu_tokenize_for(self, language: str, otherwise: str) -> str:
        """Name of sacrebleu's tokenizer for texts of a language."""
        return by_language(self.bleu_tokenize, language, otherwise)


@dataclass(frozen=True)
class Task:
    """One task: its wordings by variant, and the parts of its targets."""

    name: str  # as in utt2task
    parts: tuple[Part, ...]  # one, or several that have markers
    prompts: Mapping[str, tuple[str, ...]]  # variant → paraphrases for training
    eval_prompt: Mapping[str, str]  # variant → the wording used in evaluation
    languages: Mapping[str, str] = field(default_factory=dict)  # code → name, where it is not the usual one

    @property
    def variants(self) -> tuple[str, ...]:
        """Names of the variants, in the order of the file."""
        return tuple(self.prompts)

    @property
    def is_recognition(self) -> bool:
        """Whether the words spoken are the whole target."""
        return [part.target for part in self.parts] == ["transcript"]

    def fields(self, variant: str) -> tuple[str, ...]:
        """Names of the fields of a variant's wording of evaluation, in its order, each once."""
        names = [name for _, name, _, _ in string.Formatter().parse(self.eval_prompt[variant]) if name]
        return tuple(dict.fromkeys(names))

    def prompt(self, rng: random.Random | None = None, *, variant: str | None = None, **fields: str) -> str:
        """The instruction, on one line.

        Args:
            rng: draws one of the paraphrases for training; None: the wording of evaluation.
            variant: which variant; without it the first that exists of `<source>_<target>`, `<language>`, `default`.
            fields: values of the wording's fields; language, source and target are language codes.

        Raises:
            UserError: no such variant, no value for a field of the wording, or an unknown language code.
        """
        chosen = self._variant(variant, fields)
        wording = self.eval_prompt[chosen] if rng is None else rng.choice(self.prompts[chosen])
        values = {name: self._value(name, value) for name, value in fields.items()}
        try:
            return " ".join(wording.format_map(values).split())
        except KeyError as error:
            raise UserError(f"task {self.name!r}: the wording {wording!r} needs {error.args[0]}=") from error

    def _variant(self, variant: str | None, fields: Mapping[str, str]) -> str:
        if variant is not None:
            wanted = [variant]
        else:
            pair = [f"{fields['source']}_{fields['target']}"] if {"source", "target"} <= fields.keys() else []
            wanted = [*pair, *([fields["language"]] if "language" in fields else []), DEFAULT_VARIANT]
        for name in wanted:
            if name in self.prompts:
                return name
        raise UserError(
            f"task {self.name!r} has no prompt variant {' or '.join(map(repr, wanted))}; it has "
            f"{', '.join(self.variants)}"
        )

    def _value(self, name: str, value: str) -> str:
        if name not in LANGUAGE_FIELDS:
            return value
        return self.languages[value] if value in self.languages else language_name(value)

    def join(self, **texts: str) -> str:
        """The target that consists of these parts.

        Raises:
            UserError: not exactly the task's parts, or a text that holds a marker (it could not be taken apart again).
        """
        names = [part.name for part in self.parts]
        if sorted(texts) != sorted(names) or names == [""]:
            has = f"the parts {', '.join(names)}" if names != [""] else "no parts"
            raise UserError(f"task {self.name!r} has {has}, not {', '.join(texts) or 'none'}")
        target = " ".join(f"{part.marker} {texts[part.name]}" for part in self.parts)
        if self.split(target) != tuple(" ".join(texts[name].split()) for name in names):
            raise UserError(f"task {self.name!r}: one of the markers is part of a text itself: {target!r}")
        return " ".join(target.split())

    def split(self, text: str) -> tuple[str, ...]:
        """The parts of a target or a hypothesis, in the task's order; a part whose marker is missing is empty.

        Markers are found whatever their case. Text before the first marker belongs to the first part: a model that
        forgets that marker still gets credit for what it wrote.
        """
        if len(self.parts) == 1:
            return (text,)
        spans: list[tuple[int, int] | None] = []
        position = 0
        for part in self.parts:
            found = re.compile(re.escape(part.marker), re.IGNORECASE).search(text, position)
            spans.append(found.span() if found else None)
            position = found.end() if found else position
        spans[0] = spans[0] or (0, 0)
        begins = [*(span[0] for span in spans[1:] if span), len(text)]
        texts = []
        for span in spans:
            end = next(begin for begin in begins if span is None or begin >= span[1])
            texts.append(" ".join(text[span[1] : end].split()) if span else "")
        return tuple(texts)
