"""Alpaca with the input spoken, or the instruction and the input.

    python3 local/prepare.py --corpus /corpora/alpaca --data_dir data --speak either

--speak says which words become speech; the others stand in the prompt:

    input    the input; rows without an input are left out by design
    all      the instruction and the input; the prompt is a fixed wording of the task ("Do what the speaker asks for")
    either   the input where there is one (the instruction is then the prompt), else the instruction

The corpus has no sets: `dev` and `test` are drawn by seed, the rest is `train`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from slm_espnet.data.corpus import corpus_folder, corpus_parser
from slm_espnet.data.datadir import Row
from slm_espnet.data.json_files import JsonRecord, read_json_list
from slm_espnet.data.speak import add_synthesis_options
from slm_espnet.data.spoken_corpus import NO_AUDIO, SpokenCorpusWriter
from slm_espnet.data.table import Problem
from slm_espnet.errors import UserError, run_main

NO_INPUT = {"", "n/a", "na", "none", "no input", "noinput", "not applicable"}  # ways of the corpus to say so
FIELDS = ("instruction", "input", "output")


@dataclass(frozen=True)
class Example:
    """One record, with what is spoken and what is not."""

    utt_id: str
    where: str
    target: str
    instruction: str  # in the prompt; "" where it is spoken
    words: str  # spoken


def read_example(record: JsonRecord, number: int, speak: str) -> Example | Problem:
    """The example of a record; a problem where it cannot be used, with reason `no input` where it is not wanted."""
    values = record.values
    for name in FIELDS:
        if not isinstance(values.get(name), str):
            message = f"{name!r} is missing or no text; a record has {', '.join(FIELDS)}"
            return Problem("malformed record", record.where, message)
    instruction, given = values["instruction"].strip(), values["input"].strip()
    if given.strip("<>.").lower() in NO_INPUT:
        given = ""
    if speak == "input" and not given:
        return Problem("no input", record.where, "there is no input that could be spoken")
    spoken_instruction = speak == "all" or not given
    words = given
    if spoken_instruction:
        stop = "" if not given or instruction.endswith((".", "?", "!", ":")) else "."
        words = f"{instruction}{stop} {given}".strip()
    return Example(
        f"alpaca-{number:06d}", record.where, values["output"], "" if spoken_instruction else instruction, words
    )


def split(examples: list[Example], dev: int, test: int, seed: int) -> dict[str, list[Example]]:
    """Examples by set. Those that say the same words, or ask for the same, stay in one set.

    Raises:
        UserError: nothing would be left to train on.
    """
    groups: dict[str, list[Example]] = {}
    for example in examples:
        groups.setdefault(" ".join(example.words.lower().split()), []).append(example)
    names = sorted(groups)
    random.Random(seed).shuffle(names)
    sets: dict[str, list[Example]] = {"test": [], "dev": [], "train": []}
    wanted = {"test": test, "dev": dev, "train": len(examples)}
    for name in names:
        chosen = next(set_name for set_name, found in sets.items() if len(found) < wanted[set_name])
        sets[chosen] += groups[name]
    if not sets["train"]:
        raise UserError(f"{len(examples)} examples: nothing is left after --dev {dev} and --test {test}")
    return {name: found for name, found in sets.items() if wanted[name]}


class Preparation:
    """The three sets."""

    def __init__(self, options) -> None:
        self.options = options
        self.writer = SpokenCorpusWriter(options)

    def run(self) -> None:
        """Everything."""
        options = self.options
        path = corpus_folder(options.corpus, "ALPACA", options.file) / options.file
        examples = []
        for number, record in enumerate(read_json_list(path), 1):
            found = record if isinstance(record, Problem) else read_example(record, number, options.speak)
            if isinstance(found, Problem):
                unwanted = found.reason == "no input"
                self.writer.leave_out("train", "-", found.reason, found.where, found.message, unwanted=unwanted)
            elif self._fits(found):
                examples.append(found)
        for name, chosen in split(examples, options.dev, options.test, options.seed).items():
            for example in chosen:
                self._add(name, example)
        self.writer.finish()

    def _fits(self, example: Example) -> bool:
        """Whether an example is within the bounds that the options set; it is counted where it is not."""
        options = self.options
        bounds = {"words to speak": (example.words, options.max_words)}
        bounds["words in the target"] = (example.target, options.max_target_words)
        for what, (text, most) in bounds.items():
            if most and len(text.split()) > most:
                reason = f"more than {most} {what}"
                self.writer.leave_out("train", example.utt_id, reason, example.where, unwanted=True)
                return False
        return True

    def _add(self, name: str, example: Example) -> None:
        variant, fields = ("default", {"instruction": example.instruction}) if example.instruction else ("spoken", {})
        training = name == "train"
        prompt = self.writer.prompt("instruction", example.utt_id, training=training, variant=variant, **fields)
        row = Row(example.utt_id, NO_AUDIO, example.target, prompt, "instruction", "en", "", transcript=example.words)
        self.writer.say(name, row, example.words, example.where, kind=name)


def main() -> None:
    """Run the command line."""
    parser = corpus_parser(__doc__)
    add_synthesis_options(parser)
    parser.add_argument("--file", default="alpaca_data.json", help="the file in --corpus, a list of records")
    parser.add_argument("--speak", choices=("input", "all", "either"), default="either", help="what is spoken")
    parser.add_argument("--dev", type=int, default=500, help="examples for validation")
    parser.add_argument("--test", type=int, default=500, help="examples for the test")
    parser.add_argument("--max_words", type=int, default=100, help="longest speech; 0: any")
    parser.add_argument("--max_target_words", type=int, default=200, help="longest target; 0: any")
    Preparation(parser.parse_args()).run()


if __name__ == "__main__":
    run_main(main)
