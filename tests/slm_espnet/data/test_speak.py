"""Text → speech: repeatable, resumed, by any command, and every text that cannot be spoken is told."""

from __future__ import annotations

import shlex
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from slm_espnet.data.speak import Speech, Synthesis, choose_voice, speak_all, voices_of
from slm_espnet.errors import UserError

pytest.importorskip("espeakng_loader", reason="speech synthesis needs espeakng-loader")

# A command that writes a tone as long as its text, and notes each call.
PROGRAM = """
import sys, wave
output, text = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else sys.stdin.read()
with open(sys.argv[0] + ".calls", "a") as calls:
    calls.write(text + "|")
if text == "fail":
    sys.exit("no such word")
if text != "nothing":
    with wave.open(output, "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(b"" if text == "silence" else b"ab" * 100 * len(text))
"""


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "speak.py"
    path.write_text(PROGRAM)
    return path


def test_a_text_sounds_the_same_whatever_was_said_before_and_in_any_number_of_jobs(tmp_path):
    # a breathy variant, for which espeak-ng draws noise at random
    texts = [Speech(f"number {i} of a list", "gmw/en-US+f2") for i in range(4)]
    one, two = Synthesis(tmp_path / "one"), Synthesis(tmp_path / "two")
    assert speak_all(texts, one, nj=1) == {}
    assert speak_all(reversed(texts), two, nj=2) == {}
    for text in texts:
        assert one.path(text).read_bytes() == two.path(text).read_bytes()
    samples, rate = soundfile.read(one.path(texts[0]))
    assert rate == 16000 and 0.5 < len(samples) / rate < 4 and np.abs(samples).max() > 0.05


def test_what_is_there_is_not_spoken_again_and_other_settings_are_other_files(tmp_path):
    text = Speech("hello", "gmw/en")
    slow = Synthesis(tmp_path, rate=120)
    speak_all([text, text], Synthesis(tmp_path))
    path = Synthesis(tmp_path).path(text)
    path.write_bytes(b"kept")
    speak_all([text], Synthesis(tmp_path))
    assert path.read_bytes() == b"kept"
    speak_all([text], slow)
    assert slow.path(text) != path and slow.path(text).is_file()
    assert sorted(p.name for p in tmp_path.rglob("*.*")) == sorted([path.name, slow.path(text).name])  # nothing else


def test_unknown_voices_and_mute_texts_are_told_and_do_no_harm(tmp_path):
    texts = [Speech("yes", "gmw/en+nobody"), Speech("yes", "gmw/xx"), Speech("...", "gmw/en"), Speech("yes", "gmw/en")]
    failed = speak_all(texts, Synthesis(tmp_path), nj=2)
    assert "no variant 'nobody'" in failed[texts[0]]
    assert "no voice 'gmw/xx'" in failed[texts[1]]
    assert "said nothing" in failed[texts[2]]
    assert set(failed) == set(texts[:3]) and Synthesis(tmp_path).path(texts[3]).is_file()


def test_noise_does_not_depend_on_the_time_of_day():
    """espeak-ng starts its noise from the second at which it was started: that is what the seeds stand for here."""
    program = """
import hashlib, sys
from slm_espnet.data.espeak import Espeak
engine = Espeak()
engine._library.espeak_ng_SetRandSeed(int(sys.argv[1]))
print(hashlib.sha1(engine.speak("hello there", "gmw/en-US+f2").tobytes()).hexdigest())
"""
    said = {subprocess.check_output([sys.executable, "-c", program, str(seed)]) for seed in (5, 6)}
    assert len(said) == 1


@pytest.mark.parametrize("where", ["{output} {text}", "{output}"])  # as an argument, on standard input
def test_any_command_gets_the_text_as_it_is(tmp_path, program, where):
    synthesis = Synthesis(tmp_path / "audio", f"{shlex.quote(sys.executable)} {program} {where}")
    text = Speech('it\'s {output} "quoted"; $(touch x) ü')
    assert speak_all([text], synthesis) == {}
    assert program.with_name("speak.py.calls").read_text() == text.text + "|"
    assert soundfile.info(synthesis.path(text)).frames == 100 * len(text.text)


def test_a_command_that_fails_leaves_its_text_out_with_what_it_said(tmp_path, program):
    synthesis = Synthesis(tmp_path / "audio", f"{shlex.quote(sys.executable)} {program} {{output}} {{text}}")
    texts = [Speech(word) for word in ("fail", "nothing", "silence", "good")]
    failed = speak_all(texts, synthesis, nj=2)
    assert failed[texts[0]] == "the command ended with status 1: no such word"
    assert failed[texts[1]] == "the command wrote no {output}"
    assert "zero length" in failed[texts[2]]
    assert texts[3] not in failed
    assert [p for p in (tmp_path / "audio").rglob("*") if p.is_file()] == [synthesis.path(texts[3])]
    command = f"{shlex.quote(sys.executable)} -c 'import time; time.sleep(9)' {{output}}"
    sleeper = Synthesis(tmp_path / "audio", command, timeout=0.1)
    assert "more than 0.1 s" in speak_all([texts[3]], sleeper)[texts[3]]


def test_settings_that_cannot_work_are_refused_at_once(tmp_path):
    with pytest.raises(UserError, match="there is no program 'nosuchprogram'"):
        Synthesis(tmp_path, "nosuchprogram {text} {output}")
    with pytest.raises(UserError, match="{output} is missing"):
        Synthesis(tmp_path, "cat {text}")
    with pytest.raises(UserError, match="close the quotation"):
        Synthesis(tmp_path, "cat '{text} {output}")
    with pytest.raises(UserError, match="80 to 450"):
        Synthesis(tmp_path, rate=20)


def test_sets_share_no_voice_and_every_voice_exists(tmp_path):
    from argparse import Namespace

    options = Namespace(voices="", tts_command="")
    sets = {kind: set(voices_of(options, kind)) for kind in ("train", "dev", "test")}
    variants = [{voice.partition("+")[2] for voice in found} for found in sets.values()]
    assert sum(map(len, variants)) == len(set.union(*variants))
    everyone = [Speech("yes", voice) for voice in set.union(*sets.values())]
    assert speak_all(everyone, Synthesis(tmp_path), nj=2) == {}
    chosen = {choose_voice(sorted(sets["train"]), 1, f"row {i}") for i in range(200)}
    assert chosen == sets["train"] and choose_voice((), 1, "row") == ""


def test_command_line_writes_a_table_and_names_what_it_could_not_say(tmp_path):
    (tmp_path / "texts").write_text("b good morning\na ...\n")
    done = subprocess.run(
        [sys.executable, "-m", "slm_espnet.data.speak", "--text", tmp_path / "texts", "--audio_dir", tmp_path / "audio",
         "--wav_scp", tmp_path / "data/wav.scp", "--voices", "gmw/en"],
        text=True, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 1 and "left out: a: espeak-ng said nothing" in done.stdout, done.stderr
    key, path = (tmp_path / "data/wav.scp").read_text().split()
    assert key == "b" and soundfile.info(path).frames > 8000
