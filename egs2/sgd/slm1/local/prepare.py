"""Schema-Guided Dialogue with spoken user turns: replies and dialogue states.

    python3 local/prepare.py --corpus /corpora/dstc8-schema-guided-dialogue --data_dir data --history 6

Each user turn is spoken by a synthesizer, all turns of a dialogue by one voice. Its rows share that audio:

    dialog         the target is the system's next turn; the services and the conversation so far stand in the prompt
    dialog_state   the target is the state after the turn: per service the intent and the slots with their values
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from dialogues import SCHEMA_FORMS, Dialogue, Service, read_dialogues, read_schema  # noqa: E402

from slm_espnet.data.corpus import corpus_folder, corpus_parser  # noqa: E402
from slm_espnet.data.datadir import Row  # noqa: E402
from slm_espnet.data.speak import add_synthesis_options  # noqa: E402
from slm_espnet.data.split import SPLITS  # noqa: E402
from slm_espnet.data.spoken_corpus import NO_AUDIO, SpokenCorpusWriter  # noqa: E402
from slm_espnet.data.table import Problem  # noqa: E402
from slm_espnet.errors import run_main  # noqa: E402
from slm_espnet.options import chosen  # noqa: E402
from slm_espnet.scoring.dialog_state import write_state  # noqa: E402

TASKS = ("dialog", "dialog_state")


class Preparation:
    """Rows of all splits."""

    def __init__(self, options) -> None:
        self.options = options
        self.tasks = chosen(options.tasks, TASKS, "--tasks")
        self.writer = SpokenCorpusWriter(options)

    def run(self) -> None:
        """Everything."""
        root = corpus_folder(self.options.corpus, "SGD", *(f"{split}/schema.json" for split in SPLITS))
        for split in SPLITS:
            schema = read_schema(root / split / "schema.json")
            for dialogue in read_dialogues(root / split, schema):
                if isinstance(dialogue, Problem):
                    self.writer.leave_out(split, "-", dialogue.reason, dialogue.where, dialogue.message)
                else:
                    self._add(split, dialogue, schema)
        self.writer.finish()

    def _add(self, split: str, dialogue: Dialogue, schema: dict[str, Service]) -> None:
        for number, turn in enumerate(dialogue.turns):
            if not turn.by_user:
                continue
            for task in self.tasks:
                utt_id = f"sgd-{split}-{dialogue.name}-{number:02d}-{task}"
                target, references = self._target(dialogue, number, task)
                if not target:
                    message = "no reply by the system follows" if task == "dialog" else "the turn has no state"
                    self.writer.leave_out(split, utt_id, "no target", dialogue.where, message, unwanted=True)
                    continue
                fields = self._fields(dialogue, number, schema, with_slots=task == "dialog_state")
                variant = "_".join(fields) or "default"
                prompt = self.writer.prompt(task, utt_id, training=split == "train", variant=variant, **fields)
                row = Row(
                    utt_id, NO_AUDIO, target, prompt, task, "en", "", transcript=turn.words, references=references
                )
                where = f"{dialogue.where}, turn {number + 1}"
                voice_of = f"{split} {dialogue.name}"
                self.writer.say(split, row, turn.words, where, kind=split, voice_of=voice_of)

    def _target(self, dialogue: Dialogue, number: int, task: str) -> tuple[str, tuple[str, ...]]:
        """What is to be written after a user's turn, and the form that it is scored by where that is another."""
        if task == "dialog_state":
            states = dialogue.turns[number].states
            return write_state(states), (write_state(states, reference=True),)
        following = dialogue.turns[number + 1 : number + 2]
        return (following[0].words, ()) if following and not following[0].by_user else ("", ())

    def _fields(self, dialogue: Dialogue, number: int, schema: dict[str, Service], with_slots: bool) -> dict[str, str]:
        """What the prompt says about the dialogue; a field that would be empty is left out."""
        form, fields = self.options.schema, {}
        if form != "none":
            described = [schema[name].described(form, with_slots) for name in dialogue.services]
            fields["services"] = " ".join(described)
        turns = dialogue.turns[max(0, number - self.options.history) : number]
        if turns:
            fields["history"] = " ".join(f"{'User' if t.by_user else 'Assistant'}: {t.words}" for t in turns)
        return fields


def main() -> None:
    """Run the command line."""
    parser = corpus_parser(__doc__)
    add_synthesis_options(parser)
    parser.add_argument("--tasks", default=" ".join(TASKS), help=f"which of {', '.join(TASKS)}")
    parser.add_argument("--history", type=int, default=8, help="earlier turns in the prompt; 0: none")
    parser.add_argument("--schema", choices=SCHEMA_FORMS, default="full", help="how the services are described in it")
    Preparation(parser.parse_args()).run()


if __name__ == "__main__":
    run_main(main)
