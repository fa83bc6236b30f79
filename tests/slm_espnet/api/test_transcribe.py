"""The command: files and folders in, files out; what is done, what is bad, and what is refused."""

import json
import os

import numpy as np
import pytest
import soundfile

from slm_espnet.api.model import SLMInference
from slm_espnet.api.recordings import find_recordings
from slm_espnet.api.results import Answer, Segment, Timings
from slm_espnet.api.writers import WRITERS
from slm_espnet.bin import transcribe
from slm_espnet.errors import UserError


@pytest.fixture
def folder(tmp_path, noise):
    """Four recordings, one of them broken, and a file that is none."""
    (tmp_path / "in" / "sub").mkdir(parents=True)
    for number, name in enumerate(("a.wav", "b.flac", "sub/a.wav")):
        soundfile.write(tmp_path / "in" / name, noise(0.5 + 0.2 * number, seed=number), 16000)
    (tmp_path / "in" / "bad.wav").write_bytes(b"no audio")
    (tmp_path / "in" / "notes.txt").write_text("not a recording")
    return tmp_path / "in"


def run(folder, experiment, *options):
    values = ("--model", experiment, "--output_dir", folder.parent / "out", "--device", "cpu", *options)
    return transcribe.main([str(value) for value in (folder, *values)])


def test_a_folder_is_done_once_and_what_is_bad_is_named(folder, experiment, slm, capsys, monkeypatch):
    out = folder.parent / "out"
    assert run(folder, experiment, "--output_format", "txt,json") == 1
    said = capsys.readouterr().err
    assert "1 of 4 recordings could not be used" in said and str(folder / "bad.wav") in said
    assert (out / "failed.tsv").read_text().startswith(f"{folder / 'bad.wav'}\t")
    written = sorted(str(path.relative_to(out)) for path in out.rglob("*.json") if path.name != "transcribe.json")
    assert written == ["a.json", "b.json", "sub/a.json"]
    whole = SLMInference.from_pretrained(experiment, device="cpu")
    for name in ("a.wav", "sub/a.wav"):
        text = whole(folder / name).text
        assert (out / name).with_suffix(".txt").read_text() == f"{text}\n"
        assert json.loads((out / name).with_suffix(".json").read_text())["text"] == text
    soundfile.write(folder / "bad.wav", np.full(8000, 0.1), 16000)  # mended; the others are not done again
    asked = []
    call = SLMInference.__call__
    monkeypatch.setattr(SLMInference, "__call__", lambda self, s, *a, **k: asked.extend(s) or call(self, s, *a, **k))
    assert run(folder, experiment, "--output_format", "txt,json") == 0
    assert asked == [folder / "bad.wav"] and "3 of 4 recordings are done already" in capsys.readouterr().err
    assert (out / "bad.txt").is_file() and (out / "failed.tsv").read_text() == ""
    assert run(folder, experiment, "--output_format", "txt") == 0 and len(asked) == 1
    times = (folder / "a.wav").stat()
    soundfile.write(folder / "a.wav", np.full(9000, 0.1), 16000)  # another recording under the same name
    os.utime(folder / "a.wav", ns=(times.st_atime_ns, times.st_mtime_ns))
    (folder / "b.flac").touch()
    assert run(folder, experiment, "--output_format", "txt") == 0 and asked[1:] == [folder / "a.wav"]
    asked.pop()
    with pytest.raises(UserError, match="begun with other settings .instruction: None, now say it"):
        run(folder, experiment, "--instruction", "say it")
    assert run(folder, experiment, "--instruction", "say this in spanish", "--overwrite") == 0 and len(asked) == 5


def test_few_seconds_are_read_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(transcribe, "MOST_SECONDS", 3.0)
    seconds = {"a": 1, "b": 1.5, "c": 1, "d": 9, "e": 0.2, "f": 0.2, "g": 0.2}
    for name, length in seconds.items():
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(round(length * 1000)), 1000)
    (tmp_path / "h.wav").write_bytes(b"no audio")
    batches = transcribe.batches_of(find_recordings([str(tmp_path)]), 3)
    assert ["".join(one.name for one in batch) for batch in batches] == ["ab", "c", "d", "efg", "h"]


def test_answers_are_printed_without_a_folder(folder, experiment, slm, capsys):
    arguments = [str(folder / "a.wav"), "--model", str(experiment), "--device", "cpu", "--instruction", "ast"]
    assert transcribe.main([*arguments, "--language", "en", "--target", "es"]) == 0
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 1 and "instruction: translate this speech from english to" in printed.err
    with pytest.raises(UserError, match="no prompt variant"):
        transcribe.main([*arguments, "--language", "en", "--target", "de"])


def test_names_of_outputs_never_meet(tmp_path, experiment):

    for name in ("x/a.wav", "x/a.flac", "x/b.wav", "y/b.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    names = [recording.name for recording in find_recordings([str(tmp_path / "x"), str(tmp_path / "x" / "a.wav")])]
    assert names == ["a.flac", "a.wav", "b"]
    with pytest.raises(UserError, match="several recordings are named b"):
        find_recordings([str(tmp_path / "x" / "b.wav"), str(tmp_path / "y" / "b.wav")])
    assert len(find_recordings([str(tmp_path)])) == 4
    with pytest.raises(UserError, match="has no recordings"):
        (tmp_path / "z").mkdir()
        find_recordings([str(tmp_path / "z")])


def test_subtitles_have_the_times_of_the_pieces():
    segments = (Segment(0.0, 3.25, "one <two>"), Segment(3.25, 4.0, " "), Segment(3725.5, 3726.0, "three\n--> four"))
    timings = Timings(1, 1, 1, 1)
    answer = Answer("one two three", "say", segments, (), 0.0, None, False, False, timings)
    assert WRITERS["srt"](answer) == (
        "1\n00:00:00,000 --> 00:00:03,250\none <two>\n\n2\n01:02:05,500 --> 01:02:06,000\nthree --> four\n"
    )
    assert WRITERS["vtt"](answer) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:03.250\none &lt;two&gt;\n\n"
        "01:02:05.500 --> 01:02:06.000\nthree --&gt; four\n"
    )
    assert WRITERS["tsv"](answer).splitlines()[1] == "0\t3250\tone <two>"
    assert WRITERS["txt"](answer) == "one two three\n"
