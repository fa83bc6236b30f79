"""Reading audio: formats, spans, rates, and what is said when a recording cannot be used."""

import logging
import shlex

import numpy as np
import pytest
import soundfile

from slm_espnet.data import audio
from slm_espnet.data.audio import AudioError, audio_seconds, read_audio
from slm_espnet.data.datadir import AudioSource

RATE = 16000


def ramp(seconds=1.0):
    return np.linspace(-0.5, 0.5, int(RATE * seconds), dtype=np.float32)


@pytest.mark.parametrize(
    ("name", "options", "tolerance"),
    [
        ("a.wav", {"subtype": "PCM_16"}, 1e-4),
        ("a.wav", {"subtype": "PCM_U8"}, 1e-2),
        ("a.wav", {"subtype": "ULAW"}, 2e-2),
        ("a.flac", {}, 1e-4),
        ("a.sph", {"format": "NIST", "subtype": "PCM_16"}, 1e-4),
        ("a.ogg", {"format": "OGG", "subtype": "VORBIS"}, 0.2),
        ("a.mp3", {"format": "MP3", "subtype": "MPEG_LAYER_III"}, 0.2),
    ],
)
def test_formats_give_the_same_samples(tmp_path, name, options, tolerance):
    soundfile.write(tmp_path / name, ramp(), RATE, **options)
    samples = read_audio(AudioSource(str(tmp_path / name)), RATE)
    assert samples.dtype == np.float32 and samples.shape == (RATE,)
    np.testing.assert_allclose(samples[500:-500], ramp()[500:-500], atol=tolerance)


def test_span_is_read_by_seeking(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "long.wav", ramp(600), RATE)  # ten minutes
    frames_read = []
    read = soundfile.SoundFile.read

    def counting_read(self, frames=-1, **options):
        frames_read.append(frames)
        return read(self, frames, **options)

    monkeypatch.setattr(soundfile.SoundFile, "read", counting_read)
    samples = read_audio(AudioSource(str(tmp_path / "long.wav"), 300.0, 300.5), RATE)
    np.testing.assert_allclose(samples, ramp(600)[300 * RATE : 300 * RATE + RATE // 2], atol=1e-4)
    assert frames_read == [RATE // 2]


def test_segments_end(tmp_path):
    soundfile.write(tmp_path / "a.wav", ramp(), RATE)
    path = str(tmp_path / "a.wav")
    assert len(read_audio(AudioSource(path, 0.75, None), RATE)) == RATE // 4
    assert len(read_audio(AudioSource(path, 0.75, 1.2), RATE)) == RATE // 4  # a small overshoot is cut
    for start, stop in ((2.0, 3.0), (0.5, 1.6)):
        with pytest.raises(AudioError, match="outside of the recording, which has 1.00 s") as error:
            read_audio(AudioSource(path, start, stop), RATE)
        assert error.value.reason == "segment past the end"


def test_stereo_is_averaged_or_one_channel_taken(tmp_path):
    soundfile.write(tmp_path / "s.wav", np.stack([np.full(800, 0.5), np.full(800, -0.25)], axis=1), RATE)
    source = AudioSource(str(tmp_path / "s.wav"))
    np.testing.assert_allclose(read_audio(source, RATE), 0.125, atol=1e-4)
    np.testing.assert_allclose(read_audio(source, RATE, channel=1), -0.25, atol=1e-4)
    with pytest.raises(AudioError, match="has 2 channel"):
        read_audio(source, RATE, channel=2)


def test_other_rates_are_resampled_and_said_once(tmp_path, caplog):
    audio._say_once.cache_clear()
    tone = np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)
    soundfile.write(tmp_path / "a.wav", 0.5 * tone, 8000)
    with caplog.at_level(logging.WARNING):
        samples = read_audio(AudioSource(str(tmp_path / "a.wav")), RATE)
        read_audio(AudioSource(str(tmp_path / "a.wav")), RATE)
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    np.testing.assert_allclose(samples[200:-200], expected[200:-200], atol=5e-3)
    said = [record.getMessage() for record in caplog.records]
    assert said == ["audio at 8000 Hz is resampled to 16000 Hz (said once)"]


def test_ark_members(tmp_path):
    import kaldiio

    data = {"a": (ramp() * 20000).astype(np.int16), "b": (ramp()[::-1] * 20000).astype(np.int16)}
    for name, options in (("wav", {}), ("flac", {"write_function": "soundfile", "write_kwargs": {"format": "flac"}})):
        scp = tmp_path / f"{name}.scp"
        kaldiio.save_ark(
            f"{tmp_path}/{name}.ark", {key: (RATE, values) for key, values in data.items()}, scp=str(scp), **options
        )
        for line in scp.read_text().splitlines():
            key, path = line.split()
            samples = read_audio(AudioSource(path), RATE)
            np.testing.assert_allclose(samples, data[key] / 32768, atol=1e-6)
            np.testing.assert_array_equal(read_audio(AudioSource(path, 0.25, 0.5), RATE), samples[4000:8000])
    kaldiio.save_ark(str(tmp_path / "feats.ark"), {"a": np.zeros((3, 2), np.float32)})
    with pytest.raises(AudioError, match="holds features"):
        read_audio(AudioSource(f"{tmp_path}/feats.ark:2"), RATE)
    with pytest.raises(AudioError, match="make it again"):
        read_audio(AudioSource(f"{tmp_path}/wav.ark:99999999"), RATE)


def test_pipes(tmp_path):
    soundfile.write(tmp_path / "a.wav", ramp(), RATE)
    count = tmp_path / "count"
    command = f"echo x >> {shlex.quote(str(count))}; cat {shlex.quote(str(tmp_path / 'a.wav'))} |"
    first = read_audio(AudioSource(command, 0.0, 0.5), RATE)
    second = read_audio(AudioSource(command, 0.5, 1.0), RATE)
    np.testing.assert_allclose(np.concatenate([first, second]), ramp(), atol=1e-4)
    assert count.read_text() == "x\n"  # segments of one recording run its command once
    assert audio_seconds(AudioSource(command)) is None
    with pytest.raises(AudioError, match="status 3 .*no luck"):
        read_audio(AudioSource("echo no luck >&2; exit 3 |"), RATE)
    with pytest.raises(AudioError, match="ended with status 1"):
        read_audio(AudioSource(f"false | cat {tmp_path}/a.wav |"), RATE)
    with pytest.raises(AudioError, match="wrote nothing"):
        read_audio(AudioSource("true |"), RATE)


def test_what_cannot_be_used_is_named(tmp_path):
    def refused(path, reason, message):
        with pytest.raises(AudioError, match=message) as error:
            read_audio(AudioSource(str(path)), RATE)
        assert error.value.reason == reason and str(path) in str(error.value)

    refused(tmp_path / "none.wav", "missing audio", "No such file.*correct wav.scp")
    refused(tmp_path, "unreadable audio", "directory")
    (tmp_path / "text.wav").write_text("not audio at all\n" * 50)
    refused(tmp_path / "text.wav", "unreadable audio", "cannot be read as audio.*convert it to wav")
    (tmp_path / "empty.wav").touch()
    refused(tmp_path / "empty.wav", "unreadable audio", "cannot be read as audio")
    soundfile.write(tmp_path / "zero.wav", np.zeros(0), RATE)
    refused(tmp_path / "zero.wav", "zero length", "no samples")
    for value in (np.nan, np.inf):
        soundfile.write(tmp_path / "nan.wav", np.array([0.0, value, 0.0]), RATE, subtype="FLOAT")
        refused(tmp_path / "nan.wav", "not finite", "NaN or infinite")


def test_truncated_flac_is_refused(tmp_path):
    soundfile.write(tmp_path / "a.flac", np.random.default_rng(0).normal(0, 0.1, RATE), RATE)
    (tmp_path / "cut.flac").write_bytes((tmp_path / "a.flac").read_bytes()[:12000])
    with pytest.raises(AudioError):
        read_audio(AudioSource(str(tmp_path / "cut.flac")), RATE)


def test_header_gives_the_length_of_the_span(tmp_path):
    soundfile.write(tmp_path / "a.wav", ramp(2), RATE)
    assert audio_seconds(AudioSource(str(tmp_path / "a.wav"))) == 2.0
    assert audio_seconds(AudioSource(str(tmp_path / "a.wav"), 0.5, 1.25)) == 0.75
