"""Hashes of weights follow the content and survive being remembered."""

from __future__ import annotations

import hashlib
import os

from slm_espnet import weights


def test_one_file_has_its_plain_hash_and_several_do_not_depend_on_order(tmp_path):
    one, two = tmp_path / "a", tmp_path / "b"
    one.write_bytes(b"1")
    two.write_bytes(b"2")
    assert weights.weights_sha256([one]) == hashlib.sha256(b"1").hexdigest()
    both = weights.weights_sha256([one, two])
    assert both == weights.weights_sha256([two, one])
    two.write_bytes(b"3")
    assert weights.weights_sha256([one, two]) != both


def test_large_files_are_read_once_and_again_when_they_change(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "REMEMBERED_SIZE", 1)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    read = []
    real = weights._sha256
    monkeypatch.setattr(weights, "_sha256", lambda path: read.append(path) or real(path))
    path = tmp_path / "model"
    path.write_bytes(b"12")
    os.utime(path, (1, 1))
    assert weights.file_sha256(path) == weights.file_sha256(path) == hashlib.sha256(b"12").hexdigest()
    assert len(read) == 1
    path.write_bytes(b"21")
    os.utime(path, (2, 2))
    assert weights.file_sha256(path) == hashlib.sha256(b"21").hexdigest()
    (tmp_path / "cache" / "slm_espnet" / "sha256.json").write_text("damaged")
    assert weights.file_sha256(path) == hashlib.sha256(b"21").hexdigest()
