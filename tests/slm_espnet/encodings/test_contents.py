"""Stage 2 goes by what recordings hold: replaced ones are encoded anew, moved ones are not, whatever their times."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
import soundfile

from slm_espnet.data.datadir import AudioSource
from slm_espnet.encodings.layout import CONTENTS
from slm_espnet.encodings.reader import EncodingReader


def frames(directory, path):
    return EncodingReader(directory)[AudioSource(str(path)).key].frames.tobytes()


def replace(path, seed=7):
    """Other samples, as many, and as old."""
    times, samples = os.stat(path), soundfile.info(path).frames
    soundfile.write(path, 0.1 * np.random.default_rng(seed).standard_normal(samples), 1000)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.fixture
def encode(command, tmp_path, capsys):
    """Function (*options) → what encoding in `num_jobs` jobs and merging said."""

    def run(*options, num_jobs=1):
        capsys.readouterr()
        for job in range(1, num_jobs + 1):
            assert command("--job", str(job), "--num_jobs", str(num_jobs), *options) == 0
        assert command("--merge", "true", "--num_jobs", str(num_jobs), *options) == 0
        return capsys.readouterr().out

    run.directory = tmp_path / "encodings"
    return run


@pytest.mark.parametrize("jobs", [(1, 1), (2, 2), (3, 2), (1, 3)])
def test_a_replaced_recording_alone_is_encoded_anew(encode, command, data_dir, jobs):
    encode(num_jobs=jobs[0])
    paths = [data_dir / f"{number:02d}.wav" for number in range(24)]
    before = [frames(encode.directory, path) for path in paths]
    replace(paths[5])
    said = encode(num_jobs=jobs[1])
    assert f"1 recordings have changed since they were encoded: {paths[5]}\n" in said
    assert sum(f": {n} encoded" in said for n in (1,)) == 1 and said.count("0 encoded") == said.count(" part ") - 1
    after = [frames(encode.directory, path) for path in paths]
    assert [path for path, old, new in zip(paths, before, after, strict=True) if old != new] == [paths[5]]
    built = command.built
    assert "done before" in encode(num_jobs=jobs[1]) and command.built == built
    replace(paths[5], seed=8)  # and again, over an encoding that was made anew
    encode(num_jobs=jobs[1])
    assert frames(encode.directory, paths[5]) not in (before[5], after[5])
    EncodingReader(encode.directory).verify()


def test_moved_and_exchanged_recordings_keep_their_encodings(encode, data_dir):
    encode()
    first, second, third = (data_dir / f"{number:02d}.wav" for number in (20, 21, 22))
    before = [frames(encode.directory, path) for path in (first, second, third)]
    shutil.move(first, data_dir / "moved.wav")
    text = (data_dir / "wav.scp").read_text(encoding="utf-8")
    (data_dir / "wav.scp").write_text(text.replace(str(first), str(data_dir / "moved.wav")), encoding="utf-8")
    shutil.move(second, data_dir / "other.wav")
    shutil.move(third, second)
    shutil.move(data_dir / "other.wav", third)
    said = encode()
    assert "0 encoded, 24 were there" in said and "2 recordings have changed" in said
    assert [frames(encode.directory, p) for p in (data_dir / "moved.wav", third, second)] == before
    lines = (encode.directory / "index.tsv").read_text(encoding="utf-8").splitlines()[1:]
    assert AudioSource(str(data_dir / "moved.wav")).key in [line.split("\t")[0] for line in lines]
    assert len(lines) == 24


def test_audio_that_is_gone_changes_nothing_and_a_mended_one_is_encoded(encode, command, data_dir):
    broken = data_dir / "10.wav"
    content = broken.read_bytes()
    broken.write_bytes(b"RIFF")
    assert "left out: 1" in encode("--max_failed", "0.1")
    broken.write_bytes(content)
    assert "24 of 24 recordings" in encode("--max_failed", "0.1")
    built = command.built
    for path in data_dir.glob("*.wav"):
        path.unlink()
    assert "done before" in encode("--max_failed", "0.1") and command.built == built


def test_encodings_made_before_contents_were_kept_stay_valid(encode, command, data_dir):
    encode(num_jobs=2)
    for path in encode.directory.glob("contents.*"):
        path.unlink()
    built, before = command.built, frames(encode.directory, data_dir / "07.wav")
    assert "done before" in encode(num_jobs=2) and command.built == built
    assert len((encode.directory / CONTENTS).read_text().splitlines()) == 24
    replace(data_dir / "07.wav")
    said = encode(num_jobs=2)
    assert "1 recordings have changed" in said and "1 encoded" in said
    assert frames(encode.directory, data_dir / "07.wav") != before


def test_archives_are_looked_at_where_a_recording_begins(encode, data_dir):
    whole = [(data_dir / f"{number:02d}.wav").read_bytes() for number in (3, 4)]
    ark, offsets = data_dir / "a.ark", (5, 10 + len(whole[0]))
    ark.write_bytes(b"utt1 " + whole[0] + b"utt2 " + whole[1])
    names = [f"utt{number}" for number in (1, 2)]
    (data_dir / "wav.scp").write_text("".join(f"{n} {ark}:{o}\n" for n, o in zip(names, offsets, strict=True)))
    (data_dir / "text").write_text("".join(f"{name} a\n" for name in names))
    encode()
    replace(data_dir / "04.wav")
    ark.write_bytes(b"utt1 " + whole[0] + b"utt2 " + (data_dir / "04.wav").read_bytes())
    assert f"{ark}:{offsets[1]}" in encode().split("have changed")[1]
