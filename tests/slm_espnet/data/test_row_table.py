"""Rows by number are what a reading of the whole directory gives, whatever was kept of an earlier index."""

import os
import pickle

import numpy as np
import pytest

from slm_espnet.data import row_index
from slm_espnet.data.datadir import AudioSource, Row, read_data_dir
from slm_espnet.data.row_table import ChosenRows, RowTable
from slm_espnet.data.writer import write_data_dir
from slm_espnet.errors import UserError


def make_rows(segments=False, count=9):
    rows = []
    for n in range(count):
        span = (0.5 * n, None if n % 4 == 3 else 0.5 * n + 1.25) if segments else ()
        row = Row(
            f"utt-\u00e9{n:03d}", AudioSource(f"/audio/{n // 2 if segments else n}.wav", *span),
            text=f"words {n}  of\u2028x",
            prompt="say it", task="ast" if n % 3 else "asr", language="en" if n % 2 else "de", speaker=f"s{n}",
            context=("a", "b c") if n == 2 else (), transcript="said" if n % 4 == 1 else None, category=None,
            references=("one", "two") if n == 3 else (), target_language="es" if n % 3 else None,
        )  # fmt: skip
        rows.append(row)
    return rows


@pytest.fixture(params=["temporary", "kept"])
def kept(request, monkeypatch):
    """Whether an index is kept beside the tables, made of a few lines at a time."""
    monkeypatch.setattr(row_index, "KEPT_BYTES", 0 if request.param == "kept" else 1 << 20)
    monkeypatch.setattr(row_index, "CHUNK", 4)
    return request.param == "kept"


@pytest.mark.parametrize("segments", [False, True])
def test_rows_by_number_are_the_rows(tmp_path, kept, segments):
    write_data_dir(tmp_path / "d", make_rows(segments))
    with open(tmp_path / "d" / "text", "a") as file:
        file.write("\n\n")  # as tables may end
    expected = read_data_dir(tmp_path / "d")
    for _ in range(2):  # the second time from what was kept
        table = RowTable(tmp_path / "d")
        assert list(table) == [table[n] for n in range(len(table))] == expected and len(table) == 9
        assert table.keys.tolist() == [row.audio.key.encode() for row in expected]
        assert table.find([expected[4].utt_id, "none", "", expected[0].utt_id]).tolist() == [4, -1, -1, 0]
        codes, names = table.groups(np.arange(9))
        assert [names[code] for code in codes] == [(row.task, row.languages) for row in expected]
        assert table.tasks() == ["asr", "ast"] and table.with_tasks(["asr"]).tolist() == [0, 3, 6]
        chosen = ChosenRows(table, table.with_tasks(["ast"]))
        assert list(chosen[1::2]) == [row for row in expected if row.task == "ast"][1::2]
        assert pickle.loads(pickle.dumps(table))[3] == expected[3]
        assert (tmp_path / "d" / ".rows").is_dir() == kept
    assert not list((tmp_path / "d").glob(".rows.*"))
    with pytest.raises(IndexError):
        table[9]


def test_an_index_is_used_as_long_as_every_byte_is_the_same(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(row_index, "KEPT_BYTES", 0)
    write_data_dir(tmp_path / "d", make_rows())
    for path in (tmp_path / "d").iterdir():
        os.utime(path, (4102444800, 4102444800))
    first = RowTable(tmp_path / "d").digest(["text"])
    RowTable(tmp_path / "d")
    assert capsys.readouterr().out.count("indexing") == 1
    text = tmp_path / "d" / "text"
    text.write_text(text.read_text(encoding="utf-8").replace("words 3", "worDs 3"), encoding="utf-8")
    os.utime(text, (4102444800, 4102444800))
    assert RowTable(tmp_path / "d")[3].text.startswith("worDs") and RowTable(tmp_path / "d").digest(["text"]) != first
    assert capsys.readouterr().out.count("indexing") == 1
    ids = tmp_path / "d" / ".rows" / "ids.npy"
    for damage in (lambda: ids.write_bytes(ids.read_bytes()[:-9]), lambda: ids.unlink(),
                   lambda: (tmp_path / "d" / ".rows" / "index.json").write_text("{")):  # fmt: skip
        damage()
        assert len(RowTable(tmp_path / "d")) == 9 and "indexing" in capsys.readouterr().out


def test_a_table_that_changes_while_it_is_used_is_named(tmp_path):
    write_data_dir(tmp_path / "d", make_rows())
    table = RowTable(tmp_path / "d")
    text = tmp_path / "d" / "text"
    text.write_text("more and " + text.read_text())
    with pytest.raises(UserError, match="text: was changed while it was in use"):
        table[4]


def test_a_read_only_directory_is_indexed_elsewhere(small_disk, capsys, monkeypatch):
    monkeypatch.setattr(row_index, "KEPT_BYTES", 0)
    disk = small_disk(256)
    write_data_dir(disk / "d", make_rows())
    small_disk.protect(disk)
    assert list(RowTable(disk / "d")) == make_rows()
    assert "cannot be written, so that each process reads the tables anew" in capsys.readouterr().out


def test_a_full_disk_is_named(small_disk, monkeypatch):
    monkeypatch.setattr(row_index, "KEPT_BYTES", 0)
    disk = small_disk(64)
    write_data_dir(disk / "d", make_rows())
    (disk / "filler").write_bytes(bytes(4096 * sum(1 for _ in range(2))))
    with pytest.raises(UserError, match=r"cannot write .*No space left.*make room"):
        RowTable(disk / "d")
    assert not list((disk / "d").glob(".rows*"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("text", "a x\n", "audio without text|has no line in"),
        ("text", "b x\na x\n", "text:2: id 'a' comes after 'b'"),
        ("text", "a x\nb y\nc z\n", "text:3: utterance 'c' has a line here but none in wav.scp"),
        ("transcript", "c z\n", "transcript:1: utterance 'c'"),
        ("wav.scp", "a 1.wav\nb\n", "wav.scp:2: utterance 'b' has no path"),
        ("wav.scp", "a 1.wav\na 1.wav\n", "wav.scp:2: id 'a' occurs twice"),
        ("segments", "a r 0 1\nb r 2 1\n", "segments:2: the segment"),
        ("wav.scp", "", "no utterance in wav.scp"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_line(tmp_path, kept, name, content, message):
    tables = {"wav.scp": "a 1.wav\nb 2.wav\n", "text": "a x\nb y\n"}
    if name == "segments":
        tables["wav.scp"] = "r 1.wav\n"
    for table, lines in {**tables, name: content}.items():
        (tmp_path / table).write_text(lines)
    with pytest.raises(UserError, match=message):
        RowTable(tmp_path)
