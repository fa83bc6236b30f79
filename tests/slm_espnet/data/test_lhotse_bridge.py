"""lhotse's manifests become rows, and nothing that lhotse would drop is lost without a word."""

import types

import numpy as np
import pytest
import soundfile
from lhotse import Recording, RecordingSet, SupervisionSegment, SupervisionSet, fix_manifests
from lhotse.qa import validate_recordings_and_supervisions

from slm_espnet.data.corpus import CorpusWriter, corpus_parser
from slm_espnet.data.datadir import Row, read_data_dir
from slm_espnet.data.lhotse_bridge import add_manifests, audio_source, bad_times, faithful, screened
from slm_espnet.errors import UserError


@pytest.fixture
def writer(tmp_path):
    arguments = ["--corpus", str(tmp_path), "--data_dir", str(tmp_path / "data"), "--max_failed", "0.9"]
    return CorpusWriter(corpus_parser("Test").parse_args(arguments))


@pytest.fixture
def recordings(tmp_path):
    """Function () → recordings good (2 s), empty, broken and absent, as a recipe would make them."""
    soundfile.write(tmp_path / "good.wav", np.zeros(16000, dtype=np.float32), 8000)
    soundfile.write(tmp_path / "empty.wav", np.zeros(0, dtype=np.float32), 8000)
    (tmp_path / "broken.wav").write_bytes(b"RIFF....")
    names = ("good", "empty", "broken", "absent")
    return lambda: RecordingSet.from_recordings(Recording.from_file(tmp_path / f"{name}.wav") for name in names)


def supervision(name, recording, start=0.0, duration=2.0, text="words"):
    return SupervisionSegment(name, recording, start, duration, text=text, language="English", speaker="s")


def make_row(segment, audio):
    if segment.text == "[music]":
        return None
    return Row(segment.id, audio, segment.text or "", "prompt", "asr", "en", segment.speaker)


@pytest.fixture
def module(monkeypatch, recordings):
    """A recipe as lhotse writes them, found as lhotse.recipes.made_up."""
    module = types.ModuleType("lhotse.recipes.made_up")
    module.fix_manifests = fix_manifests
    module.validate_recordings_and_supervisions = validate_recordings_and_supervisions
    segments = [
        supervision("whole", "good"), supervision("part", "good", 0.5, 1.0), supervision("late", "good", 1.0, 3.0),
        supervision("gone", "good", 5.0, 1.0), supervision("silent", "good", text=None),
        supervision("music", "good", text="[music]"), supervision("a", "empty"), supervision("b", "broken"),
        supervision("c", "absent"), supervision("d", "unknown"),
    ]  # fmt: skip

    def prepare(fail=False):
        if fail:
            raise KeyError("no such column")
        pair = module.fix_manifests(recordings(), SupervisionSet.from_segments(segments))
        module.validate_recordings_and_supervisions(*pair)
        return pair

    module.prepare = prepare
    monkeypatch.setitem(__import__("sys").modules, "lhotse.recipes.made_up", module)
    return module


def test_everything_comes_through_or_is_named(writer, module, tmp_path):
    with faithful("made_up") as recipe:
        pair = recipe.prepare()
    add_manifests(writer, "train", *pair, make_row)
    writer.finish()
    rows = {row.utt_id: row.audio for row in read_data_dir(tmp_path / "data/train")}
    assert {name: (audio.start, audio.stop) for name, audio in rows.items()} == {"part": (0.5, 1.5), "whole": (0, None)}
    assert {(utt_id, problem.reason) for utt_id, problem in writer.sets["train"].failed} == {
        ("late", "segment past the end"), ("gone", "segment past the end"), ("silent", "empty text"),
        ("a", "zero length"), ("b", "unreadable audio"), ("c", "missing audio"), ("d", "segment without recording"),
    }  # fmt: skip
    assert [utt_id for utt_id, _ in writer.sets["train"].unwanted] == ["music"]


def test_lhotse_is_itself_again_afterwards(module, tmp_path, recordings):
    with faithful("made_up") as recipe:
        recipe.prepare()
    assert module.fix_manifests is fix_manifests
    assert module.validate_recordings_and_supervisions is validate_recordings_and_supervisions
    with pytest.raises(Exception, match="broken"):
        Recording.from_file(tmp_path / "broken.wav")
    assert Recording.from_file(tmp_path / "good.wav").num_samples == 16000


def test_a_recipe_that_stops_says_why(module):
    with pytest.raises(UserError, match="recipe made_up cannot read this corpus .*no such column"):
        with faithful("made_up") as recipe:
            recipe.prepare(fail=True)


def test_several_files_are_no_recording(tmp_path, recordings):
    recording = Recording.from_file(tmp_path / "good.wav")
    recording.sources = [*recording.sources, *recording.sources]
    with pytest.raises(UserError, match="one file is needed"):
        audio_source(recording)


def test_bad_lines_are_taken_out_and_places_stay_right(writer, tmp_path):
    path = tmp_path / "talk.stm"
    path.write_bytes(b"# comment\na 1 2\nb 2 1\n\nc\xe9 1 2\nd 3 4\n")

    def complaint(line):
        return "" if line.startswith("#") else bad_times(*line.split()[1:])

    with screened(writer, "train", [path], complaint, head="head\n") as (copy,):
        assert copy.path.read_text() == "head\na 1 2\nd 3 4\n" and copy.path.name == "talk.stm"
        assert copy.places == (f"{path}:2", f"{path}:6")
    assert not copy.path.exists()
    assert [(problem.reason, problem.where) for _, problem in writer.sets["train"].failed] == [
        ("malformed line", f"{path}:3"), ("not UTF-8", f"{path}:5")
    ]  # fmt: skip
