"""From an utterance (a recording and its words) to rows: recognition, translation, and the one after the other."""

from __future__ import annotations

from dataclasses import dataclass

from slm_espnet.data.corpus import CorpusWriter
from slm_espnet.data.datadir import AudioSource, Row
from slm_espnet.errors import UserError


@dataclass(frozen=True)
class Utterance:
    """One recording of a corpus with its words."""

    set_name: str  # the set that its rows are in: train, train_clean, dev, test, …
    utt_id: str
    audio: AudioSource
    words: str
    language: str  # code as in utt2lang
    speaker: str  # as in utt2spk
    where: str  # place in the corpus, file:line

    @property
    def training(self) -> bool:
        """Whether the set is trained on, which its name tells: wordings of its prompts vary."""
        return self.set_name.partition("_")[0] == "train"


def add_recognition(writer: CorpusWriter, utterance: Utterance) -> None:
    """Add a row of task `asr`."""
    one = utterance
    prompt = writer.prompt("asr", one.utt_id, training=one.training, language=one.language)
    row = Row(one.utt_id, one.audio, one.words, prompt, "asr", one.language, one.speaker, transcript=one.words)
    writer.add(one.set_name, row, one.where)


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
            writer.leave_out(one.set_name, utt_id, "marker in text", one.where, str(error))
            return
    row = Row(
        utt_id=utt_id,
        audio=one.audio,
        text=text,
        prompt=writer.prompt(task, utt_id, training=one.training, source=one.language, target=target),
        task=task,
        language=one.language,
        speaker=one.speaker,
        transcript=one.words,
        target_language=target,
    )
    writer.add(one.set_name, row, one.where)
