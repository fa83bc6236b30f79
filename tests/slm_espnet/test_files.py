"""Small files: in place at once, and errors that name file and cure."""

import os
import shutil

import pytest

from slm_espnet.errors import UserError
from slm_espnet.files import KEY_BLOCK, content_key, read_yaml, write_atomically


def test_a_file_is_the_old_one_or_the_new_one(tmp_path):
    path = tmp_path / "a.txt"
    write_atomically(path, "old\n")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "half \udc80")
    assert path.read_text() == "old\n"
    write_atomically(path, "n\u00e9w\n")
    assert path.read_bytes() == b"n\xc3\xa9w\n" and list(tmp_path.iterdir()) == [path]
    with pytest.raises(UserError, match="cannot write .*none/a.txt .*No such file.*make room"):
        write_atomically(tmp_path / "none" / "a.txt", "x")


def test_yaml_and_what_may_be_wrong_with_it(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("a: [1, .inf]\n")
    assert read_yaml(path, "the settings") == {"a": [1, float("inf")]}
    path.write_text("")
    assert read_yaml(path, "the settings") is None
    for content in (b"a: [\n", b"a: \xe9\n", b"a: !!python/object/apply:os.getcwd []\n"):
        path.write_bytes(content)
        with pytest.raises(UserError, match="a.yaml: not a valid UTF-8 YAML file: "):
            read_yaml(path, "the settings")
    with pytest.raises(UserError, match="none.yaml: cannot read the settings .*; run stage 1"):
        read_yaml(tmp_path / "none.yaml", "the settings", "run stage 1")


def test_a_content_key_goes_by_the_bytes_not_by_name_or_time(tmp_path):
    path = tmp_path / "a.wav"
    large = bytes(range(256)) * (KEY_BLOCK // 16)  # 16 blocks
    for content in (b"", b"RIFF", large):
        path.write_bytes(content)
        key = content_key(path)
        assert key.startswith(f"{len(content)}-") and key == content_key(str(path))
        moved = shutil.move(path, tmp_path / "b.wav")
        os.utime(moved, (1, 1))
        assert content_key(moved) == key
    keys = {key}
    for place in (0, len(large) // 2, len(large) - 1):  # as large, and as old
        path.write_bytes(large[:place] + b"\xff\xfe"[large[place] == 255 :][:1] + large[place + 1 :])
        os.utime(path, (1, 1))
        keys.add(content_key(path))
    path.write_bytes(large + b"\0")
    assert len(keys | {content_key(path)}) == 5
    path.write_bytes(b"RIFX")  # a small file is read as a whole
    small = content_key(path)
    path.write_bytes(b"RIFY")
    assert content_key(path) != small
    with pytest.raises(FileNotFoundError):
        content_key(tmp_path / "none")
