"""Recordings whose header does not tell their length, or tells a wrong one, are read to their end.

`ffmpeg -f flac -` cannot go back to write the length; a recorder that is killed leaves sizes of 0 in a wav; mp3 files
without a count of frames, and joined ones, were read in part without a word; GSM in wav cannot be sought in.
"""

import io

import numpy as np
import pytest
import soundfile

from slm_espnet.data import audio_headers
from slm_espnet.data.audio import AudioError, audio_seconds, read_audio
from slm_espnet.data.datadir import AudioSource

RATE = 16000


def noise(seconds):
    return np.random.default_rng(0).normal(0, 0.1, int(RATE * seconds)).clip(-1, 1).astype(np.float32)


def encoded(samples, **options):
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, **options)
    return file.getvalue()


def seconds_read(path):
    source = AudioSource(str(path))
    assert audio_seconds(source) == pytest.approx(len(read_audio(source, RATE)) / RATE)
    return len(read_audio(source, RATE)) / RATE


def test_flac_of_unknown_length(tmp_path):
    samples = noise(3)
    data = bytearray(encoded(samples, format="FLAC"))
    data[21] &= 0xF0
    data[22:42] = bytes(20)  # total number of samples, MD5
    path = tmp_path / "unknown.flac"
    path.write_bytes(data)
    assert seconds_read(path) == 3.0
    np.testing.assert_allclose(read_audio(AudioSource(str(path)), RATE), samples, atol=1e-4)
    np.testing.assert_allclose(read_audio(AudioSource(str(path), 1, 2), RATE), samples[RATE : 2 * RATE], atol=1e-4)
    assert len(read_audio(AudioSource(f"cat {path} |"), RATE)) == 3 * RATE
    with pytest.raises(AudioError, match="which has 3.00 s"):
        read_audio(AudioSource(str(path), 4, 5), RATE)


@pytest.mark.parametrize("riff", [0, 36, 0xFFFFFFFF])
def test_wav_that_was_never_closed(tmp_path, riff):
    samples = noise(3)
    data = bytearray(encoded(samples, format="WAV", subtype="PCM_16"))
    assert data[36:40] == b"data"
    data[4:8], data[40:44] = riff.to_bytes(4, "little"), bytes(4)
    path = tmp_path / "open.wav"
    path.write_bytes(data)
    if riff == 0xFFFFFFFF:  # not a recorder's: whether it has audio cannot be told
        with pytest.raises(AudioError, match="no samples"):
            read_audio(AudioSource(str(path)), RATE)
        return
    assert seconds_read(path) == 3.0
    np.testing.assert_allclose(read_audio(AudioSource(f"cat {path} |"), RATE), samples, atol=1e-4)
    if riff:
        return  # in an ark the size is where the next member begins
    (tmp_path / "open.ark").write_bytes(b"key " + data)
    np.testing.assert_allclose(read_audio(AudioSource(f"{tmp_path}/open.ark:4"), RATE), samples, atol=1e-4)


def test_closed_wav_without_samples_stays_empty(tmp_path):
    data = bytearray(encoded(np.zeros(0), format="WAV", subtype="PCM_16"))
    data += b"LIST" + (4).to_bytes(4, "little") + b"INFO"
    data[4:8] = (len(data) - 8).to_bytes(4, "little")
    (tmp_path / "empty.wav").write_bytes(data)
    with pytest.raises(AudioError, match="no samples"):
        read_audio(AudioSource(str(tmp_path / "empty.wav")), RATE)


def test_gsm_in_wav_is_read_without_seeking(tmp_path):
    path = tmp_path / "gsm.wav"
    soundfile.write(path, noise(3), RATE, subtype="GSM610")
    whole = read_audio(AudioSource(str(path)), RATE)
    assert len(whole) == pytest.approx(3 * RATE, abs=320)  # whole blocks
    np.testing.assert_array_equal(read_audio(AudioSource(str(path), 1.5, 2), RATE), whole[24000:32000])


@pytest.fixture
def mp3():
    """20 s, nearly silent and then loud, of a variable bit rate: the count of frames, and the frames."""
    samples = noise(20)
    samples[: 10 * RATE] *= 1e-4
    data = encoded(samples, format="MP3", subtype="MPEG_LAYER_III", bitrate_mode="VARIABLE")
    info = max(data.find(b"Xing", 0, 100), data.find(b"Info", 0, 100))
    audio = data.find(data[:2], 4)
    assert 0 < info < audio
    return data, info, audio


def test_mp3_without_a_count_of_frames(tmp_path, mp3):
    data, _, audio = mp3
    cover = b"ID3\x04\0\0" + bytes([0, 18, 40, 0]) + bytes(18 << 14 | 40 << 7)
    for begin in (b"", cover):
        (tmp_path / "a.mp3").write_bytes(begin + data[audio:])
        assert seconds_read(tmp_path / "a.mp3") == pytest.approx(20, abs=0.15)
        late = read_audio(AudioSource(str(tmp_path / "a.mp3"), 17, 19), RATE)
        assert len(late) == 2 * RATE and late.std() > 0.03


def test_mp3_with_a_wrong_count_and_joined_mp3(tmp_path, mp3):
    data, info, _ = mp3
    half = int.from_bytes(data[info + 8 : info + 12], "big") // 2
    (tmp_path / "half.mp3").write_bytes(data[: info + 8] + half.to_bytes(4, "big") + data[info + 12 :])
    assert seconds_read(tmp_path / "half.mp3") == pytest.approx(20, abs=0.15)
    (tmp_path / "twice.mp3").write_bytes(data + data)
    assert seconds_read(tmp_path / "twice.mp3") == pytest.approx(40, abs=0.3)
    (tmp_path / "whole.mp3").write_bytes(data)
    assert seconds_read(tmp_path / "whole.mp3") == 20.0  # exact to the sample, as before


def test_joined_mp3_of_different_rates_is_refused(tmp_path, mp3):
    other = io.BytesIO()
    soundfile.write(other, noise(3), 24000, format="MP3", subtype="MPEG_LAYER_III")
    (tmp_path / "mixed.mp3").write_bytes(mp3[0] + other.getvalue())
    with pytest.raises(AudioError, match="different rates"):
        read_audio(AudioSource(str(tmp_path / "mixed.mp3")), RATE)


def test_frames_of_an_mp3_are_counted_once_for_all_its_segments(tmp_path, mp3, monkeypatch):
    path = tmp_path / "a.mp3"
    path.write_bytes(mp3[0][mp3[2] :])
    counted = []
    count = audio_headers._recounted
    monkeypatch.setattr(audio_headers, "_recounted", lambda data: counted.append(len(data)) or count(data))
    for start in range(4):
        assert len(read_audio(AudioSource(str(path), start, start + 1), RATE)) == RATE
    assert len(counted) == 1
