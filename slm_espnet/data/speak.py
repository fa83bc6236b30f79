"""Text → speech: espeak-ng, or any command, for corpora that are made of text.

    python -m slm_espnet.data.speak --text texts --audio_dir dump/audio --wav_scp data/x/wav.scp --nj 4
    python -m slm_espnet.data.speak … --tts_command "piper --model en.onnx --output_file {output}"

`texts` has `<id> <text>` lines, as Kaldi's `text`. A command is called once for each text, without a shell: {text},
{output} (the wav file to write), {voice} and {language} in it are replaced; without {text} the text comes on its
standard input. Recordings are named after what they say, with which voice and by what: two rows with the same words and
voice share one, a run that was killed goes on with those that are missing, and audio of other settings is never taken
for these.

Repeatability: espeak-ng's output depends on what the process said before. So every text is spoken by a process that was
forked right before and has said nothing yet: the samples are the same for any number of jobs, in any order, at any
time. Whether a command repeats itself is up to the command.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import random
import re
import shlex
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from slm_espnet.data.espeak import DEFAULT_PITCH, DEFAULT_RATE, SAMPLING_RATE, Espeak, engine_version
from slm_espnet.errors import UserError, run_main
from slm_espnet.files import temporary_beside
from slm_espnet.options import split_names

# espeak-ng voices: the sets share none, so that a score on the test set is one on voices never heard.
VOICES = {
    "train": (
        "gmw/en+m1 gmw/en+f1 gmw/en-US+m3 gmw/en-US+f2 gmw/en-GB-x-rp+m5 gmw/en-GB-x-rp+f4 gmw/en-US+Andy "
        "gmw/en-US+Annie gmw/en+Denis gmw/en+linda gmw/en-US+benjamin gmw/en-GB-x-rp+edward gmw/en-US+marcelo "
        "gmw/en+anika gmw/en-US+paul"
    ),
    "dev": "gmw/en+m6 gmw/en-US+f5 gmw/en-US+steph gmw/en-GB-x-rp+rob",
    "test": "gmw/en+m4 gmw/en-US+m7 gmw/en-US+f3 gmw/en-GB-x-rp+belinda gmw/en+Michael gmw/en-US+david",
}
LONGEST_MESSAGE = 200  # characters of a command's complaint that a report shows


@dataclass(frozen=True)
class Speech:
    """One text to be spoken."""

    text: str
    voice: str = ""  # an espeak-ng voice, or whatever the command takes as {voice}
    language: str = "en"  # for a command's {language}; an espeak-ng voice implies it


@dataclass(frozen=True)
class Synthesis:
    """How texts are spoken."""

    audio_dir: Path  # where the recordings go
    command: str = ""  # empty: espeak-ng
    rate: int = DEFAULT_RATE  # espeak-ng: words per minute
    pitch: int = DEFAULT_PITCH  # espeak-ng: 0 to 99
    timeout: float = 300.0  # seconds that a command may take for one text

    def __post_init__(self) -> None:
        if not self.command:
            if not 80 <= self.rate <= 450 or not 0 <= self.pitch <= 99:
                raise UserError(f"espeak-ng speaks 80 to 450 words per minute (--tts_rate {self.rate}), pitch 0 to 99")
            return
        try:
            words = shlex.split(self.command)
        except ValueError as error:
            raise UserError(f"--tts_command {self.command!r}: {error}; close the quotation") from error
        if "{output}" not in self.command:
            raise UserError(f"--tts_command {self.command!r}: {{output}} is missing, the wav file that it writes")
        if shutil.which(words[0]) is None:
            raise UserError(f"--tts_command: there is no program {words[0]!r}; install it or give its path")

    @property
    def engine(self) -> str:
        """What decides the sound besides text and voice; part of the files' names."""
        if self.command:
            return self.command
        return f"{engine_version()} {self.rate} {self.pitch}"

    def path(self, speech: Speech) -> Path:
        """Where the recording of a text goes, or is."""
        parts = [self.engine, speech.text, speech.voice, speech.language if self.command else ""]
        name = hashlib.sha1(json.dumps(parts).encode()).hexdigest()[:20]
        return self.audio_dir.absolute() / name[:2] / f"{name}{'.wav' if self.command else '.flac'}"

    def program(self, speech: Speech, output: Path) -> list[str]:
        """The command's words with the placeholders replaced; what is put in is never parted or interpreted."""
        values = {"text": speech.text, "output": str(output), "voice": speech.voice, "language": speech.language}
        return [_fill(word, values) for word in shlex.split(self.command)]


def choose_voice(voices: Iterable[str], seed: int, name: str) -> str:
    """One of the voices, by seed and name alone; "" where there are none."""
    voices = tuple(voices)
    return random.Random(f"{seed} {name}").choice(voices) if voices else ""


def speak_all(texts: Iterable[Speech], synthesis: Synthesis, nj: int = 1) -> dict[Speech, str]:
    """Speak every text that is not there yet, each once.

    Args:
        texts: repeated ones are spoken once.
        synthesis: by what; the recordings are at `synthesis.path(text)`.
        nj: processes at a time; the audio does not depend on it.

    Returns:
        For each text that could not be spoken, why.

    Raises:
        UserError: espeak-ng is not installed.
    """
    if not synthesis.command:
        _check_espeak()
    missing = [text for text in dict.fromkeys(texts) if not synthesis.path(text).is_file()]
    if not missing:
        return {}
    work = partial(_speak_one, synthesis)
    return {text: why for text, why in zip(missing, _map(work, missing, nj), strict=True) if why}


def _map(work: Callable[[Speech], str], texts: list[Speech], nj: int) -> Iterator[str]:
    """Results in order. Workers are forked from this process, which has no engine started in it."""
    if nj <= 1 or len(texts) == 1:
        yield from map(work, texts)
        return
    chunk = max(1, min(50, len(texts) // (4 * nj)))
    with ProcessPoolExecutor(min(nj, len(texts)), multiprocessing.get_context("fork")) as pool:
        yield from pool.map(work, texts, chunksize=chunk)


def _speak_one(synthesis: Synthesis, speech: Speech) -> str:
    """Make one recording; returns what went wrong, "" when it is there."""
    output = synthesis.path(speech)
    temporary = temporary_beside(output, output.suffix)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        if synthesis.command:
            why = _run(synthesis, speech, temporary) or _audio_fault(temporary)
        else:
            import soundfile  # noqa: F401  # here and not in every fork
            import soxr  # noqa: F401

            why = _in_fresh_process(partial(_speak_espeak, speech, synthesis.rate, synthesis.pitch, temporary))
        if not why:
            os.replace(temporary, output)
        return why
    except OSError as error:
        return f"the recording cannot be written to {output.parent} ({error.strerror})"
    finally:
        temporary.unlink(missing_ok=True)


def _run(synthesis: Synthesis, speech: Speech, output: Path) -> str:
    given = None if "{text}" in synthesis.command else speech.text
    try:
        done = subprocess.run(
            synthesis.program(speech, output),
            input=given,
            stdin=subprocess.DEVNULL if given is None else None,
            capture_output=True,
            timeout=synthesis.timeout,
            encoding="utf-8",
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        return f"the command took more than {synthesis.timeout:g} s"
    except OSError as error:  # for instance a text that is longer than an argument may be
        return f"the command could not be run ({error.strerror})"
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        return f"the command ended with status {done.returncode}: {said[-1][:LONGEST_MESSAGE] if said else 'silently'}"
    return ""


def _audio_fault(path: Path) -> str:
    from slm_espnet.data.audio import AudioError, audio_seconds
    from slm_espnet.data.datadir import AudioSource

    if not path.is_file():
        return "the command wrote no {output}"
    try:
        audio_seconds(AudioSource(str(path)))
    except AudioError as error:
        return f"the command's {{output}} is of no use ({error.reason})"
    return ""


def _speak_espeak(speech: Speech, rate: int, pitch: int, output: Path) -> str:
    import soundfile

    try:
        samples = Espeak().speak(speech.text, speech.voice, rate, pitch)
    except ValueError as error:
        return str(error)
    soundfile.write(output, samples, SAMPLING_RATE, subtype="PCM_16")
    return ""


def _in_fresh_process(work: Callable[[], str]) -> str:
    """The result of some work done by a fork of this process; its exceptions become results, too."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reader)
            try:
                answer = work()
            except (OSError, RuntimeError) as error:  # soundfile's errors are RuntimeErrors
                answer = f"{type(error).__name__}: {error}"
            with os.fdopen(writer, "wb") as pipe:
                pipe.write(answer.encode())
            status = 0
        finally:
            os._exit(status)  # nothing of the parent's is flushed or cleaned up a second time
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    return answer if status == 0 else f"the speaking process died (status {os.waitstatus_to_exitcode(status)})"


def _check_espeak() -> None:
    from importlib.util import find_spec

    if find_spec("espeakng_loader") is None:
        raise UserError("espeak-ng is not installed: pip install espeakng-loader, or name a program with --tts_command")


def _fill(word: str, values: dict[str, str]) -> str:
    """Replace {placeholders} in one pass, so that braces in a text are left alone."""
    return re.sub(r"\{(text|output|voice|language)\}", lambda match: values[match[1]], word)


def add_synthesis_options(parser: argparse.ArgumentParser) -> None:
    """Options of every command that has something spoken."""
    parser.add_argument("--nj", type=int, default=2, help="texts spoken at a time")
    parser.add_argument(
        "--tts_command",
        default="",
        help="what speaks: {text} (or standard input), {output}, {voice}, {language} are filled in; empty: espeak-ng",
    )
    parser.add_argument("--tts_rate", type=int, default=DEFAULT_RATE, help="espeak-ng: words per minute")
    parser.add_argument("--tts_pitch", type=int, default=DEFAULT_PITCH, help="espeak-ng: 0 to 99")
    parser.add_argument("--tts_timeout", type=float, default=300.0, help="seconds that a command may take for one text")
    parser.add_argument("--voices", default="", help="voices instead of the built-in lists, separated by commas")


def synthesis_of(options: argparse.Namespace, audio_dir: Path) -> Synthesis:
    """The settings that were given by `add_synthesis_options`; recordings go to audio_dir."""
    return Synthesis(audio_dir, options.tts_command, options.tts_rate, options.tts_pitch, options.tts_timeout)


def voices_of(options: argparse.Namespace, kind: str) -> tuple[str, ...]:
    """Voices of a set: --voices, else espeak-ng's of its kind (train, dev or test), none for a command."""
    if options.voices:
        return tuple(split_names(options.voices))
    return () if options.tts_command else tuple(VOICES[kind].split())


def get_parser() -> argparse.ArgumentParser:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, required=True, help="table of `<id> <text>` lines")
    parser.add_argument("--audio_dir", type=Path, required=True, help="where the recordings go")
    parser.add_argument("--wav_scp", type=Path, required=True, help="table to write, `<id> <recording>` lines")
    parser.add_argument("--language", default="en", help="for a command's {language}")
    parser.add_argument("--seed", type=int, default=1, help="seed of the choice of voices")
    add_synthesis_options(parser)
    return parser


def main() -> int:
    """Run the command line; texts that cannot be spoken are named, and exit status 1 says that there were some."""
    options = get_parser().parse_args()
    from slm_espnet.data.table import repaired_lines, write_table

    synthesis, voices = synthesis_of(options, options.audio_dir), voices_of(options, "train")
    texts = {}
    for line in repaired_lines(options.text, Counter()):
        if line.problem is not None:
            raise line.problem.error()
        texts[line.key] = Speech(line.value, choose_voice(voices, options.seed, line.key), options.language)
    failed = speak_all(texts.values(), synthesis, options.nj)
    for key, speech in texts.items():
        if speech in failed:
            print(f"left out: {key}: {failed[speech]}")
    spoken = [(key, str(synthesis.path(speech))) for key, speech in texts.items() if speech not in failed]
    options.wav_scp.parent.mkdir(parents=True, exist_ok=True)
    print(f"{options.wav_scp}: {write_table(options.wav_scp, spoken)} of {len(texts)} texts are spoken")
    return 1 if failed else 0


if __name__ == "__main__":
    run_main(main)
