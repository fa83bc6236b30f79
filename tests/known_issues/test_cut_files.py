"""A file that was cut (a copy that broke off) was read as if it had been shorter, and nobody was told."""

import logging

import numpy as np
import pytest
import soundfile

from slm_espnet.data import audio, ffmpeg
from slm_espnet.data.audio import AudioError, audio_seconds, read_audio
from slm_espnet.data.datadir import AudioSource

RATE = 16000
SAMPLES = 0.1 * np.random.default_rng(0).standard_normal(2 * RATE)
TOLD = {
    "wav": ("WAV", "PCM_16"), "float.wav": ("WAV", "FLOAT"), "ulaw.wav": ("WAV", "ULAW"), "gsm.wav": ("WAV", "GSM610"),
    "adpcm.wav": ("WAV", "MS_ADPCM"), "rf64": ("RF64", "PCM_16"), "w64": ("W64", "PCM_16"), "aiff": ("AIFF", "PCM_16"),
    "au": ("AU", "PCM_16"), "flac": ("FLAC", "PCM_16"), "mp3": ("MP3", "MPEG_LAYER_III"), "caf": ("CAF", "PCM_16"),
}  # fmt: skip


def written(folder, name, kind):
    path = folder / f"a.{name}"
    soundfile.write(path, SAMPLES, RATE, format=kind[0], subtype=kind[1])
    return path, AudioSource(str(path))


@pytest.mark.parametrize("name", TOLD)
def test_half_of_a_file_is_no_file(tmp_path, name):
    path, source = written(tmp_path, name, TOLD[name])
    assert audio_seconds(source) == pytest.approx(2, abs=0.1) and abs(len(read_audio(source, RATE)) - 2 * RATE) < 1600
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(AudioError) as error:
        read_audio(source, RATE)
    assert error.value.reason in ("truncated audio", "unreadable audio") and path.name in str(error.value)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_without_its_end_is_named_and_read(tmp_path, caplog, subtype):
    """Its pages do not tell how many there were, and live streams have no last one."""
    path, source = written(tmp_path, "ogg", ("OGG", subtype))
    audio._warn_once.cache_clear()
    read_audio(source, RATE)
    assert not caplog.records
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with caplog.at_level(logging.WARNING):
        assert 0 < len(read_audio(source, RATE)) < 2 * RATE
    assert str(path) in caplog.text and "may have been cut" in caplog.text


@pytest.mark.parametrize("size", [0, 0x7FFFFFFF, 0xFFFFFFFF, 0x7FFFFFDB])
def test_a_size_that_stands_for_unknown_is_no_cut(tmp_path, size):
    path, source = written(tmp_path, "wav", TOLD["wav"])
    data = bytearray(path.read_bytes())
    data[4:8] = data[40:44] = size.to_bytes(4, "little")
    path.write_bytes(data)
    assert len(read_audio(source, RATE)) == 2 * RATE


def test_what_a_file_is_its_bytes_say_and_not_its_name(tmp_path):
    path, _ = written(tmp_path, "flac", TOLD["flac"])
    other = path.rename(tmp_path / "b.wav")
    assert len(read_audio(AudioSource(str(other)), RATE)) == 2 * RATE
    for content in (b"<html>404 not found</html>" * 99, bytes(9999), b"RIFF"):
        other.write_bytes(content)
        with pytest.raises(AudioError, match="b.wav: cannot be read as audio"):
            read_audio(AudioSource(str(other)), RATE)


# Files that are left to ffmpeg

HEADS = {
    "a.m4a": b"\0\0\0\x1cftypM4A ", "a.mp4": b"\0\0\0\x20ftypisom", "a.webm": b"\x1aE\xdf\xa3\x9fB\x86\x81\x01",
    "a.aac": b"\xff\xf1P\x80\x03\x9f\xfc", "a.wma": b"0&\xb2u\x8ef\xcf\x11\xa6\xd9\0\xaa",
    "a.amr": b"#!AMR\n<\x91\x17\x16",
    "looks_like.wav": b"\0\0\0\x1cftypM4A ",
}  # fmt: skip


def fake_ffmpeg(folder, monkeypatch, status=0):
    """Writes two seconds of flac to a pipe, or fails."""
    (folder / "bin").mkdir()
    soundfile.write(folder / "pipe.flac", SAMPLES, RATE)
    program = folder / "bin" / "ffmpeg"
    program.write_text(
        f'#!/bin/sh\necho "$@" >>{folder}/calls\n'
        + (f"cat {folder}/pipe.flac\n" if not status else f"echo moov atom not found >&2\nexit {status}\n")
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    ffmpeg.decoded.cache_clear()


@pytest.mark.parametrize("name", HEADS)
def test_other_kinds_are_read_by_ffmpeg_where_it_is(tmp_path, monkeypatch, name):
    path = tmp_path / name
    path.write_bytes(HEADS[name] + bytes(100))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AudioError, match="needs the program ffmpeg, which is not installed; install it") as error:
        audio_seconds(AudioSource(str(path)))
    assert error.value.reason == "needs ffmpeg"
    fake_ffmpeg(tmp_path, monkeypatch)
    assert audio_seconds(AudioSource(str(path))) is None, "its length is not worth running the program"
    found = read_audio(AudioSource(str(path), 0.5, 1.5), RATE)
    np.testing.assert_allclose(found, SAMPLES[RATE // 2 : RATE * 3 // 2], atol=1e-4)
    assert f"-i file:{path} " in (tmp_path / "calls").read_text()
    read_audio(AudioSource(str(path), 1.0, 1.5), RATE)
    assert len((tmp_path / "calls").read_text().splitlines()) == 1, "once for the segments of a recording"


def test_what_ffmpeg_cannot_read_is_named(tmp_path, monkeypatch):
    (tmp_path / "a.m4a").write_bytes(HEADS["a.m4a"])
    fake_ffmpeg(tmp_path, monkeypatch, status=1)
    with pytest.raises(AudioError, match=r"a.m4a: ffmpeg cannot decode it \(moov atom not found\)"):
        read_audio(AudioSource(str(tmp_path / "a.m4a")), RATE)
