"""Small files: in place at once, and errors that name file and cure."""

import pytest

from slm_espnet.errors import UserError
from slm_espnet.files import read_yaml, write_atomically


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
