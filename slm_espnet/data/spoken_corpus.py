"""Corpora whose speech is made of text: a `CorpusWriter` that has its rows spoken.

    parser = corpus_parser(__doc__)
    add_synthesis_options(parser)
    writer = SpokenCorpusWriter(options)
    row = Row(utt_id, NO_AUDIO, target, prompt, "qa", "en", "")
    writer.say("train", row, "the words to be spoken", where, kind="train")
    writer.finish()    # speaks what --subset chooses, in parallel, and writes the data directories

Only what --subset chooses is spoken. A text that cannot be spoken leaves its rows out, with the reason.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

from slm_espnet.data.corpus import CorpusWriter
from slm_espnet.data.corpus_set import CorpusSet, one_line
from slm_espnet.data.datadir import AudioSource, Row
from slm_espnet.data.speak import Speech, choose_voice, speak_all, synthesis_of, voices_of
from slm_espnet.data.table import Problem

NO_AUDIO = AudioSource("")  # of a row before it is spoken


class SpokenCorpusWriter(CorpusWriter):
    """A corpus writer whose rows are spoken by a synthesizer.

    Args:
        options: of a parser made by `corpus_parser` and `add_synthesis_options`.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options)
        self.synthesis = synthesis_of(options, options.dump_dir / "audio" / "spoken")
        self._speech: dict[str, Speech] = {}  # by path
        self._failed: dict[Speech, str] = {}  # why it could not be spoken

    def say(self, set_name: str, row: Row, words: str, where: str, *, kind: str, voice_of: str = "") -> None:
        """Take a row whose audio is to be made.

        Args:
            set_name: name of the data directory.
            row: its audio and speaker are set here.
            words: what is spoken.
            where: place that it comes from, as file:line.
            kind: train, dev or test: which of the built-in voices speak.
            voice_of: rows with the same one have the same voice, such as a dialogue's turns; "": the words.
        """
        words = one_line(words)
        if not any(letter.isalnum() for letter in words):
            self.leave_out(set_name, row.utt_id, "nothing to say", where, f"there is no word in {words!r}")
            return
        voice = choose_voice(voices_of(self.options, kind), self.options.seed, voice_of or words)
        speech = Speech(words, voice, row.language)
        path = str(self.synthesis.path(speech))
        self._speech[path] = speech
        speaker = voice.rpartition("/")[2].replace("+", ".") or "synthesizer"  # gmw/en-US+f2: en-US.f2
        self.add(set_name, replace(row, audio=AudioSource(path), speaker=speaker), where)

    def _heard(self, source: AudioSource) -> str:
        """Voice and words: the same whatever speaks them."""
        speech = self._speech[source.path]
        return f"{speech.voice} {speech.text}"

    def _choose(self, found: CorpusSet) -> None:
        """Speak what will be looked at first, all at a time; what replaces failures is spoken one by one."""
        rows = [row for row, _ in self._ordered(found)]
        if self.options.subset:
            rows = rows[: self.options.subset]
        self._speak([self._speech[row.audio.path] for row in rows])
        super()._choose(found)

    def _audio_problem(self, source: AudioSource, where: str) -> Problem | None:
        speech = self._speech[source.path]
        if speech not in self._failed and not self.synthesis.path(speech).is_file():
            self._speak([speech])
        if speech in self._failed:
            return Problem("not spoken", where, self._failed[speech])
        return super()._audio_problem(source, where)

    def _speak(self, texts: list[Speech]) -> None:
        self._failed |= speak_all(texts, self.synthesis, self.options.nj)
