"""Weights copied over others with their time stamp (`cp -p`) and of the same size had the hash of those before."""

import hashlib
import os

from slm_espnet import weights


def test_a_file_of_the_same_size_and_time_is_read_again(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "REMEMBERED_SIZE", 1)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path, other = tmp_path / "model", tmp_path / "other"
    for file, content in ((path, b"12"), (other, b"21")):
        file.write_bytes(content)
        os.utime(file, (7, 7))
    assert weights.file_sha256(path) == hashlib.sha256(b"12").hexdigest()
    os.replace(other, path)
    assert weights.file_sha256(path) == hashlib.sha256(b"21").hexdigest()


def test_a_file_changed_within_a_tick_of_the_clock_is_read_again(tmp_path, monkeypatch):
    """On disks with coarse clocks (2 s) size, times and inode are those of before; the content is not."""
    monkeypatch.setattr(weights, "REMEMBERED_SIZE", 1)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "model"
    path.write_bytes(b"1" * 100_000)
    status = path.stat()
    real = os.stat_result
    monkeypatch.setattr(type(path), "stat", lambda self, **_options: real(status))
    assert weights.file_sha256(path) == hashlib.sha256(b"1" * 100_000).hexdigest()
    path.write_bytes(b"2" * 100_000)
    assert weights.file_sha256(path) == hashlib.sha256(b"2" * 100_000).hexdigest()
