"""What is read is what was written; damage and foreign encodings are refused by name."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest

from slm_espnet.data.audio import read_audio
from slm_espnet.data.datadir import read_data_dir
from slm_espnet.encodings.reader import EncodingReader
from slm_espnet.errors import UserError


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
        np.testing.assert_array_equal(cached.posterior_ids, live.posterior_ids)
        np.testing.assert_allclose(cached.posterior_log_probs, live.posterior_log_probs, atol=4e-3)
        assert (cached.frames_total, cached.ctc_hypothesis) == (live.frames_total, live.ctc_hypothesis)
        assert cached.seconds == pytest.approx(live.seconds, abs=1e-4)
        assert reader.ctc_hypothesis(row.audio.key) == live.ctc_hypothesis
    assert reader.kept.sum() < reader.frames.sum() and any(reader.ctc_hypothesis(key) for key in reader.keys())


def test_live_frames_in_the_form_of_storage_are_the_cached_ones(encodings, pipeline_of, data_dir):
    pipeline, reader = pipeline_of(), EncodingReader(encodings)
    row = read_data_dir(data_dir)[7]
    (live,) = pipeline.encode_as_stored([read_audio(row.audio, 1000)])
    assert live.frames.dtype == np.float16
    np.testing.assert_allclose(live.frames, reader[row.audio.key].frames, rtol=2**-10, atol=1e-6)


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
