"""What is read is what was written; damage and foreign encodings are refused by name."""

from __future__ import annotations

import json
import os
import pickle

import numpy as np
import pytest
import torch

from slm_espnet.data.audio import read_audio
from slm_espnet.data.datadir import read_data_dir
from slm_espnet.decoding.live import LiveEncodings
from slm_espnet.encodings.fingerprint import write_fingerprint
from slm_espnet.encodings.layout import Encoding, Layout
from slm_espnet.encodings.pipeline import EncodingPipeline
from slm_espnet.encodings.posteriors import FLOOR, SURE_BLANK
from slm_espnet.encodings.reader import EncodingReader
from slm_espnet.encodings.writer import as_stored
from slm_espnet.errors import UserError
from slm_espnet.length_reduction.build import build_static_reduction


@pytest.fixture
def encodings(command, tmp_path):
    assert command() == 0
    return tmp_path / "encodings"


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 0.0), ("float16", 2**-11)])
def test_the_cache_is_what_live_speech_gives(dtype, tolerance, command, pipeline_of, data_dir, tmp_path):
    """float32 up to the order of sums in a batch; float16 within its rounding, relative to each value."""
    assert command("--storage_dtype", dtype) == 0
    reader = EncodingReader(tmp_path / "encodings")
    pipeline = pipeline_of(storage_dtype=dtype)
    for row in read_data_dir(data_dir):
        (live,) = pipeline.encode([read_audio(row.audio, pipeline.sampling_rate)])
        cached = reader[row.audio.key]
        assert cached.frames.dtype == dtype and cached.frames.flags.writeable
        np.testing.assert_allclose(cached.frames, live.frames, rtol=tolerance + 1e-6, atol=1e-6)
        np.testing.assert_array_equal(cached.positions, live.positions)
        np.testing.assert_array_equal(cached.stops, live.stops)
        np.testing.assert_array_equal(cached.posteriors.rows, live.posteriors.rows)
        np.testing.assert_array_equal(cached.posteriors.best(), live.posteriors.best())
        np.testing.assert_allclose(cached.posteriors.dense(), live.posteriors.dense(), atol=4e-3)
        assert len(cached.posteriors.dense()) == cached.frames_total
        assert (cached.frames_total, cached.ctc_hypothesis) == (live.frames_total, live.ctc_hypothesis)
        assert cached.seconds == pytest.approx(live.seconds, abs=1e-4)
        assert reader.ctc_hypothesis(row.audio.key) == live.ctc_hypothesis
    assert reader.kept.sum() < reader.frames.sum() and any(reader.ctc_hypothesis(key) for key in reader.keys())


def test_what_decoding_encodes_itself_is_what_the_cache_holds(encodings, pipeline_of, data_dir):
    (data_dir / "05.wav").write_bytes(b"")
    rows, cached = read_data_dir(data_dir), EncodingReader(encodings)
    live = LiveEncodings(pipeline_of(), rows)
    keys = {row.audio.key for row in rows} - {rows[5].audio.key}
    assert live.reasons == {rows[5].audio.key: "unreadable audio"} and live.fingerprint == cached.fingerprint
    assert {key for key in cached.keys() if key in live} == keys
    assert live.lengths(sorted(keys)).tolist() == cached.lengths(sorted(keys)).tolist()
    for key in keys:
        one, other = live[key], cached[key]
        assert one.frames.dtype == np.float16 and one.ctc_hypothesis == other.ctc_hypothesis
        np.testing.assert_allclose(one.frames, other.frames, rtol=2**-10, atol=1e-6)
        for name in ("rows", "counts", "ids"):
            np.testing.assert_array_equal(getattr(one.posteriors, name), getattr(other.posteriors, name))
        np.testing.assert_allclose(one.posteriors.dense(), other.posteriors.dense(), atol=4e-3)
        assert one.kept_span(1, 3) == other.kept_span(1, 3)


@pytest.mark.parametrize("kind", ["none", "ctc_blank", "ctc_merge", "stack"])
def test_posteriors_are_those_of_all_encoder_frames_whatever_was_kept(kind, pipeline_of, data_dir):
    row = read_data_dir(data_dir)[-2]
    samples = read_audio(row.audio, 1000)
    pipeline = EncodingPipeline(pipeline_of().encoder, build_static_reduction(kind))
    encoding = as_stored(pipeline.encode([samples])[0], pipeline.layout)
    (stored,) = [pipeline.layout.unpack(np.frombuffer(pipeline.layout.pack(encoding), np.uint8))]
    output = pipeline.encoder(torch.from_numpy(samples)[None], torch.tensor([len(samples)]))
    expected = output.ctc_log_probs[0].clamp_min(FLOOR).numpy()
    assert len(expected) == stored["frames_total"] == 28 and stored["posteriors"].blank_id == 0
    not_sure = stored["posteriors"].rows
    assert 20 < len(not_sure) <= 28
    np.testing.assert_allclose(stored["posteriors"].dense()[not_sure], expected[not_sure], atol=4e-3)
    assert (np.delete(expected, not_sure, axis=0)[:, 0] > np.log(SURE_BLANK)).all()
    spans = np.stack([stored["positions"], stored["stops"]])
    assert (spans[0] < spans[1]).all() and (spans[1, :-1] <= spans[0, 1:]).all() and spans[1, -1] <= 28


def test_without_ctc_there_are_no_posteriors(pipeline_of):
    fingerprint = {**pipeline_of().fingerprint, "vocabulary": None, "blank_id": None, "posteriors": None}
    layout = Layout(fingerprint)
    frames, places = np.ones((3, 6), np.float16), np.arange(3, dtype=np.int32)
    packed = layout.pack(Encoding(frames, places, places + 1, 3, 0.1, "", None))
    assert len(packed) == 16 + 3 * (6 * 2 + 2 * 4) + 4  # counts, frames and spans, up to a multiple of 16
    unpacked = layout.unpack(np.frombuffer(packed, np.uint8))
    assert unpacked["posteriors"] is None and unpacked["stops"].tolist() == [1, 2, 3]


def test_a_span_of_encoder_frames_is_one_of_kept_frames():
    starts, stops = np.array([2, 5, 9, 10], np.int32), np.array([5, 7, 10, 20], np.int32)
    encoding = Encoding(np.zeros((4, 1)), starts, stops, 25, 1.0, "", None)
    assert encoding.kept_span(0, 25) == (0, 4)
    assert encoding.kept_span(5, 10) == (1, 3)
    assert encoding.kept_span(4, 6) == (1, 2)  # the first is heard mostly before, of the second the first half
    assert encoding.kept_span(10, 14) == (3, 3)  # the middle of the last one comes later
    assert encoding.kept_span(0, 2) == (0, 0) and encoding.kept_span(20, 25) == (4, 4)
    bounds = [encoding.kept_span(at, at + 1) for at in range(25)]
    assert [first for first, _ in bounds[1:]] == [last for _, last in bounds[:-1]]


def test_lengths_and_keys(encodings, data_dir):
    reader = EncodingReader(encodings)
    keys = [row.audio.key for row in read_data_dir(data_dir)]
    assert len(reader) == 24 == len(set(keys)) and sorted(set(keys)) == list(reader.keys())
    assert reader.lengths(keys).tolist() == [len(reader[key].frames) for key in keys]
    assert reader.seconds_of(keys[:2]).tolist() == pytest.approx([0.1, 0.157])
    assert reader.kept.sum() == sum(reader.lengths(sorted(set(keys))))
    assert reader.dim == 6 and reader.fingerprint["vocabulary"] == ["<blank>", "a", "b", "<space>"]
    assert "0" * 20 not in reader and "zzz" not in reader and "" not in reader
    with pytest.raises(KeyError, match="zzz"):
        reader.lengths([keys[0], "zzz"])


def test_readers_travel_to_other_processes_without_their_data(encodings):
    reader = EncodingReader(encodings)
    key = next(reader.keys())
    frames = reader[key].frames
    state = pickle.dumps(reader)
    assert len(state) < 1000
    np.testing.assert_array_equal(pickle.loads(state)[key].frames, frames)
    if (child := os.fork()) == 0:
        os._exit(0 if (reader[key].frames == frames).all() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_another_fingerprint_is_refused_naming_both_sides(encodings, pipeline_of):
    moved = pipeline_of().fingerprint
    moved["encoder"] = {**moved["encoder"], "model": "elsewhere"}
    EncodingReader(encodings, moved)  # the same weights in another place
    with pytest.raises(UserError, match=r"reduction\.threshold: expected 0\.9, found 0\.3"):
        EncodingReader(encodings, pipeline_of(threshold=0.9).fingerprint)
    with pytest.raises(UserError, match=r"encoder\.weights_sha256: expected 0+7, found 0+\)"):
        EncodingReader(encodings, pipeline_of(seed=7).fingerprint)
    other = {**pipeline_of().fingerprint, "vocabulary": ["<blank>", "a", "c", "<space>"]}
    with pytest.raises(UserError, match="expected token 2 to be 'c', found 'b'"):
        EncodingReader(encodings, other)


def test_encodings_of_an_older_layout_are_refused_by_all(encodings, command, pipeline_of):
    fingerprint = pipeline_of().fingerprint
    old = {**fingerprint, "format": 1, "posterior_top_k": 32}
    (encodings / "fingerprint.json").write_text(json.dumps(old))
    done = json.loads((encodings / "done.json").read_text())
    done["request"].pop("format")
    (encodings / "done.json").write_text(json.dumps(done))
    for use in (lambda: EncodingReader(encodings), command):
        with pytest.raises(UserError, match=r"another version.*format 1, here 2.*--overwrite true"):
            use()
    assert command("--overwrite", "true") == 0
    EncodingReader(encodings, old)  # an adapter depends on the frames alone


def test_one_set_holds_posteriors_of_one_kind(encodings, pipeline_of, command):
    other = {**pipeline_of().fingerprint, "posteriors": {"top_k": 8, "least": 1e-6, "sure_blank": 0.999}}
    EncodingReader(encodings, other)  # an adapter trained beside those can read these
    write_fingerprint(encodings, other)
    for marker in encodings.glob("done*.json"):
        marker.unlink()
    with pytest.raises(UserError, match=r"posteriors\.top_k: expected 32, found 8.*--overwrite true"):
        command()


def test_damage_is_found_and_named(encodings, capsys):
    shard = encodings / "shard.1.bin"
    data = shard.read_bytes()
    reader = EncodingReader(encodings)
    reader.verify()
    shard.write_bytes(data[:200] + bytes([data[200] ^ 1]) + data[201:])
    with pytest.raises(UserError, match=r"shard\.1\.bin \(1\).*--overwrite true"):
        EncodingReader(encodings).verify()
    shard.write_bytes(data[:-1])
    with pytest.raises(UserError, match=r"shard\.1\.bin is truncated.*stage 2"):
        EncodingReader(encodings)
    shard.unlink()
    with pytest.raises(UserError, match=r"shard\.1\.bin is missing"):
        EncodingReader(encodings)


def test_incomplete_and_foreign_directories_are_refused(encodings, data_dir):
    with pytest.raises(UserError, match="holds no encodings"):
        EncodingReader(data_dir)
    (encodings / "done.json").unlink()
    with pytest.raises(UserError, match="not complete"):
        EncodingReader(encodings)


def test_a_search_in_many_keys_is_right(encodings):
    reader = EncodingReader(encodings)
    generator = np.random.default_rng(0)
    keys = np.sort(np.unique([f"{value:020x}".encode() for value in generator.integers(0, 2**62, 50000)]))
    reader._keys = keys
    chosen = generator.integers(0, len(keys), 100)
    assert reader._find([keys[row].decode() for row in chosen]).tolist() == chosen.tolist()
    assert reader._find(["f" * 20, "0" * 19 + "g", ""]).tolist() == [-1, -1, -1]
