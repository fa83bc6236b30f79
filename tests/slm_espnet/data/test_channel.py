"""Channels of recordings, and the headers of sphere files."""

import numpy as np
import pytest
import soundfile

from slm_espnet.data.audio import read_audio
from slm_espnet.data.channel import channel_command, read_sphere_header, sphere_source
from slm_espnet.data.datadir import AudioSource
from slm_espnet.errors import UserError


@pytest.fixture
def call(tmp_path):
    """A two-channel mu-law sphere file of 1 s, in a folder whose name needs quotation marks."""
    path = tmp_path / "disc one" / "call.sph"
    path.parent.mkdir()
    wave = np.stack([np.full(8000, 0.25), np.linspace(-0.5, 0.5, 8000)], axis=1)
    soundfile.write(path, wave, 8000, format="NIST", subtype="ULAW")
    return path


def test_header(call):
    header = read_sphere_header(call)
    assert (header.rate, header.channels, header.samples, header.shortened) == (8000, 2, 8000, False)
    assert header.header_bytes + header.data_bytes == call.stat().st_size


def test_a_channel_is_read_through_wav_scp(call):
    command, seconds = sphere_source(call, 1)
    assert seconds == 1.0
    samples = read_audio(AudioSource(command, 0.25, 0.75), 8000)
    np.testing.assert_allclose(samples, np.linspace(-0.5, 0.5, 8000)[2000:6000], atol=0.02)
    assert command == channel_command(call, 1)


def test_one_channel_needs_no_command(tmp_path):
    path = tmp_path / "a.sph"
    soundfile.write(path, np.zeros(8000), 16000, format="NIST", subtype="PCM_16")
    assert sphere_source(path, 0) == (str(path), 0.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:4000], "bytes of its samples are missing"),
        (lambda data: data.replace(b"NIST_1A", b"RIFF_1A"), "is not a sphere file"),
        (lambda data: data.replace(b"channel_count", b"channel_thing"), "header says no 'channel_count'"),
        (lambda data: b"", "is not a sphere file"),
        (lambda data: data.replace(b"sample_count -i 8000", b"sample_count -i 0000"), "has no samples"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(call, change, message):
    call.write_bytes(change(call.read_bytes()))
    with pytest.raises(UserError, match=message):
        sphere_source(call, 0)


def test_a_channel_that_is_not_there(call):
    with pytest.raises(UserError, match="has 2 channel.*channel 2 .from 0."):
        sphere_source(call, 2)
