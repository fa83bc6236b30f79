"""JSON of corpora: each record's place, and one that is not right spoils no other."""

from __future__ import annotations

import pytest

from slm_espnet.data.json_files import read_json, read_json_lines, read_json_list
from slm_espnet.errors import UserError


def test_lines_that_are_not_right_become_problems(tmp_path):
    path = tmp_path / "a.jsonl"
    lines = [
        b'\xef\xbb\xbf{"a": 1}',
        b"",
        b'{"a": ',
        b"[1]",
        '{"a": "\u2028 ü"}'.encode(),
        b'{"a": ["\xfc"]}',
        b'{"b": 2}\r',
    ]
    path.write_bytes(b"\n".join(lines))
    first, broken, other, separator, latin, last = read_json_lines(path)
    assert first == (f"{path}:1", {"a": 1}) and last == (f"{path}:7", {"b": 2})
    assert separator.values == {"a": "\u2028 ü"}  # no end of a line
    assert [p.reason for p in (broken, other, latin)] == ["not JSON", "malformed record", "not UTF-8"]
    assert [p.where.rpartition(":")[2] for p in (broken, other, latin)] == ["3", "4", "6"]


def test_lists_count_from_one_and_must_be_lists(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b'[{"a": "x"}, null, {"\xe9": "x"}]')
    good, *bad = read_json_list(path)
    assert good == (f"{path}, record 1", {"a": "x"}) and [p.reason for p in bad] == ["malformed record", "not UTF-8"]
    path.write_text('{"data": []}')
    with pytest.raises(UserError, match="holds an object, expected a list"):
        list(read_json_list(path))


def test_a_truncated_file_is_named_with_the_line(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('[\n{"a": 1},\n{"a"')
    with pytest.raises(UserError, match="a.json:3: not valid JSON .* copy it again"):
        read_json(path)
    with pytest.raises(UserError, match="b.json: cannot be read"):
        read_json(tmp_path / "b.json")
