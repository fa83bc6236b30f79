"""One recording that cannot be read or does not fit into memory is named; the others of its batch are answered."""

import io
import json
import math

import numpy as np
import pytest
import soundfile

from slm_espnet.api.audio import read_speech
from slm_espnet.api.recordings import find_recordings
from slm_espnet.api.results import Answer, Timings, Token
from slm_espnet.api.writers import as_json
from slm_espnet.bin.transcribe import answers
from slm_espnet.errors import UserError


def test_the_others_are_answered(tmp_path):
    file = io.BytesIO()
    soundfile.write(file, np.random.default_rng(0).normal(0, 0.1, 48000), 16000, format="FLAC")
    data = bytearray(file.getvalue())
    data[21] &= 0xF0
    data[22:42] = bytes(20)
    (tmp_path / "a_unknown.flac").write_bytes(data)
    (tmp_path / "b_cut.flac").write_bytes(data[:-50])  # no length, and no whole frame at its end
    for name in ("c", "d_memory"):
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(16000), 16000)

    def slm(paths, *_, **__):
        if any(path.name == "d_memory.wav" for path in paths):
            raise MemoryError("no room")
        return [len(read_speech(path, None, 16000)) for path in paths]

    found = {recording.name: said for recording, said in answers(slm, find_recordings([str(tmp_path)]), None, (), {})}
    assert (found["a_unknown"], found["c"]) == (48000, 16000)
    for name, message in (("b_cut", "last frame is not complete"), ("d_memory", "does not fit into memory")):
        assert isinstance(found[name], UserError) and message in str(found[name]) and name in str(found[name])


@pytest.mark.parametrize("number", [math.nan, -math.inf])
def test_json_has_no_numbers_that_json_does_not_know(number):
    tokens = (Token(1, "a", number), Token(2, "b", None), Token(3, "c", -0.5))
    answer = Answer("a", "say", (), tokens, number, None, False, False, Timings(0, 0, 0, 0))

    def refuse(name):
        raise AssertionError(name)

    values = json.loads(as_json(answer), parse_constant=refuse)
    assert values["score"] is None and [token["log_prob"] for token in values["tokens"]] == [None, None, -0.5]
