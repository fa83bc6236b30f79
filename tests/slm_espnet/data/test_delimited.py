"""Tables of corpus publishers: three ways of quoting, and lines that are not right."""

from __future__ import annotations

import csv
import gzip
import io
import tarfile

import pandas
import pytest

from slm_espnet.data.delimited import Record, read_delimited, unquote
from slm_espnet.errors import UserError

TEXTS = ['say "yes"', "a\ttab", "a\nline", "back\\slash", "ends in \\", "\\", "", "你好", "a\u2028b", "| bar |"]


def written(quoting: int, delimiter: str, **options) -> str:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator="\n", **options)
    writer.writerows([["id", "text"], *([str(number), value] for number, value in enumerate(TEXTS))])
    return text.getvalue()


def read(path, **options) -> list:
    return [x.values["text"] if isinstance(x, Record) else (x.reason, x.where) for x in read_delimited(path, **options)]


def test_what_is_escaped_by_backslashes_comes_back(tmp_path):
    path = tmp_path / "table.tsv"
    path.write_text(written(csv.QUOTE_NONE, "\t", escapechar="\\"), encoding="utf-8")
    assert read(path, quoting="backslash") == TEXTS
    # as the authors of CoVoST 2 read their tables
    theirs = pandas.read_csv(path, sep="\t", escapechar="\\", quoting=csv.QUOTE_NONE, na_filter=False)
    assert theirs["text"].tolist() == TEXTS


def test_what_is_quoted_as_csv_comes_back(tmp_path):
    texts = [text for text in TEXTS if "\n" not in text]
    path = tmp_path / "table"
    path.write_text(written(csv.QUOTE_MINIMAL, "|").replace('"a\nline"', "x"), encoding="utf-8")
    assert [text for text in read(path, quoting="csv", delimiter="|") if text != "x"] == texts


def test_plain_tables_have_no_quotation(tmp_path):
    path = tmp_path / "table.tsv"
    path.write_bytes('\ufeffid\ttext\r\n1\t"never closed\r\n\n2\tback\\\n3\t\n'.encode())
    assert read(path) == ['"never closed', "back\\", ""]


@pytest.mark.parametrize("suffix", [".tsv.gz", ".tsv.tar.gz"])
def test_compressed_tables(tmp_path, suffix):
    plain = tmp_path / "table.tsv"
    plain.write_text("id\ttext\n1\tgrüße\n", encoding="utf-8")
    path = tmp_path / f"table{suffix}"
    if suffix == ".tsv.gz":
        path.write_bytes(gzip.compress(plain.read_bytes()))
    else:
        with tarfile.open(path, "w:gz") as archive:
            archive.add(plain, "some/folder/table.tsv")
    assert read(path) == ["grüße"]
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(UserError, match=f"table{suffix}: .*copy it again"):
        read(path)


@pytest.mark.parametrize("quoting", ["plain", "backslash", "csv"])
def test_a_line_that_is_not_right_does_not_spoil_the_next(tmp_path, quoting):
    path = tmp_path / "table.tsv"
    path.write_bytes(b"id\ttext\n1\tone\n2\n3\tthree\tmore\n4\tf\xfcr\n5\tfive\n")
    assert read(path, quoting=quoting) == [
        "one", ("wrong column count", f"{path}:3"), ("wrong column count", f"{path}:4"), ("not UTF-8", f"{path}:5"),
        "five",
    ]  # fmt: skip


def test_an_unclosed_quotation_spoils_its_own_line_alone(tmp_path):
    path = tmp_path / "table"
    path.write_text('id|text\n1|"open\n2|two\n3|"x"y\n4|four\n')
    assert read(path, quoting="csv", delimiter="|") == [
        ("broken line", f"{path}:2"), "two", ("broken line", f"{path}:4"), "four"
    ]  # fmt: skip


def test_columns_are_found_by_name_or_given(tmp_path):
    path = tmp_path / "table.tsv"
    path.write_text("text\tid\nhello\t1\n")
    (record,) = read_delimited(path, required=("id", "text"))
    assert record == Record(f"{path}:2", {"id": "1", "text": "hello"})
    assert len(list(read_delimited(path, columns=("a", "b")))) == 2
    with pytest.raises(UserError, match=r"table.tsv:1: the heading has no translation, but text, id"):
        read(path, required=("text", "translation"))
    path.write_text("")
    with pytest.raises(UserError, match="the heading has no id, but nothing"):
        read(path, required=("id",))
    with pytest.raises(UserError, match="none.tsv: cannot read it"):
        read(tmp_path / "none.tsv")


def test_a_backslash_at_the_end_of_the_file_ends_the_text(tmp_path):
    path = tmp_path / "table.tsv"
    path.write_text("id\ttext\n1\tone\\")
    assert [text.strip() for text in read(path, quoting="backslash")] == ["one"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [('"""Good-bye,"" said the boy."', '"Good-bye," said the boy.'), ('"He said ""no""."', 'He said "no".'),
     ('"Hello."', "Hello."), ('"Yes," he said, "no."', '"Yes," he said, "no."'), ('"', '"'), ('""', ""), ("", ""),
     ('"Is it?" he asked', '"Is it?" he asked')],
)  # fmt: skip
def test_unquote(text, expected):
    assert unquote(text) == expected
