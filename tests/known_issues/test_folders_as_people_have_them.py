"""Folders hold more than recordings: AppleDouble files, links to folders, audio of kinds that are not read.

The first failed, and the others were missed without a word. Recordings named as the command's own files are
(transcribe.json, failed.tsv) had their answers overwritten.
"""

import logging

import pytest

from slm_espnet.api.recordings import find_recordings
from slm_espnet.errors import UserError


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def test_hidden_files_links_and_other_kinds(tmp_path, caplog, monkeypatch):
    rec = tmp_path / "rec"
    for name in ("x.WAV", "._x.WAV", "__MACOSX/._x.WAV", "__MACOSX/y.wav", ".hidden/y.wav", "b.m4a", "c.mp4", "d.m4a"):
        touch(rec / name)
    touch(rec / "notes.txt")
    touch(tmp_path / "elsewhere/z.wav")
    (rec / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/loop").symlink_to(rec)
    (rec / "self").symlink_to(rec)
    monkeypatch.setattr("slm_espnet.data.ffmpeg.is_installed", lambda: False)
    with caplog.at_level(logging.WARNING):
        assert [recording.name for recording in find_recordings([str(rec)])] == ["link/z", "x"]
    (message,) = [record.getMessage() for record in caplog.records]
    assert "3 files need the program ffmpeg, which is not installed: .m4a (2), .mp4 (1); install it" in message
    monkeypatch.setattr("slm_espnet.data.ffmpeg.is_installed", lambda: True)
    assert [recording.name for recording in find_recordings([str(rec)])] == ["b", "c", "d", "link/z", "x"]


def test_a_folder_of_other_kinds_only_is_refused_with_a_cure(tmp_path, monkeypatch):
    monkeypatch.setattr("slm_espnet.data.ffmpeg.is_installed", lambda: False)
    touch(tmp_path / "b.m4a")
    with pytest.raises(UserError, match=r"no recordings.*ffmpeg.*\.m4a \(1\)"):
        find_recordings([str(tmp_path)])


def test_a_hidden_folder_that_is_given_itself_is_searched(tmp_path):
    touch(tmp_path / ".cache/a.wav")
    assert [recording.name for recording in find_recordings([str(tmp_path / ".cache")])] == ["a"]


def test_outputs_do_not_collide_with_the_commands_own_files(tmp_path):
    for name in ("transcribe.wav", "Failed.flac", "sub/transcribe.wav", "a.wav"):
        touch(tmp_path / name)
    names = [recording.name for recording in find_recordings([str(tmp_path)])]
    assert sorted(names) == ["Failed.flac", "a", "sub/transcribe", "transcribe.wav"]
    touch(tmp_path / "failed")
    with pytest.raises(UserError, match="failed.*rename"):
        find_recordings([str(tmp_path / "failed")])
