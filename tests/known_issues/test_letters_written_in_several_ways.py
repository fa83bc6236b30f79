"""The same words, written with other apostrophes, accents, blanks or in another encoding, are the same words."""

import json

import pytest

from slm_espnet.data.delimited import Record, read_delimited
from slm_espnet.data.json_files import JsonRecord, read_json_lines
from slm_espnet.data.table import Problem, read_lines
from slm_espnet.errors import UserError
from slm_espnet.scoring.normalizers import NORMALIZERS

TEXT = "It\u2019s a caf\u00e9 \u2013 \u65e5\u672c"


@pytest.mark.parametrize("mark", "'\u2019\u2018\u02bc\uff07\u00b4`")
@pytest.mark.parametrize("name", ["basic", "english", "turkish"])
def test_apostrophes_are_one_in_scoring(name, mark):
    assert NORMALIZERS[name](f"it{mark}s ours, don{mark}t") == NORMALIZERS[name]("it's ours, don't")


def test_accents_and_blanks_are_one_in_scoring():
    basic = NORMALIZERS["basic"]
    assert basic("cafe\u0301\u00a0ol\u00e9") == basic("caf\u00e9 ole\u0301") == "caf\u00e9 ol\u00e9"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
def test_tables_of_a_corpus_are_read_as_they_were_saved(tmp_path, encoding):
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    table, lines = tmp_path / "data.tsv", tmp_path / "data.jsonl"
    table.write_bytes(f"{mark}audio\ttext\na.wav\t{TEXT}\n".encode(encoding))
    lines.write_bytes((mark + json.dumps({"text": TEXT}, ensure_ascii=False) + "\n").encode(encoding))
    assert list(read_delimited(table)) == [Record(f"{table}:2", {"audio": "a.wav", "text": TEXT})]
    assert list(read_json_lines(lines)) == [JsonRecord(f"{lines}:1", {"text": TEXT})]


def test_another_encoding_is_refused_with_line_and_cure_and_the_rest_is_kept(tmp_path):
    table = tmp_path / "data.tsv"
    table.write_bytes("audio\ttext\na.wav\tcaf\u00e9\n".encode("cp1252") + b"b.wav\tgood\n")
    bad, good = read_delimited(table)
    assert isinstance(bad, Problem) and bad.where.endswith("data.tsv:2") and "iconv -f WINDOWS-1252" in bad.message
    assert good.values["text"] == "good"
    kaldi = tmp_path / "text"
    kaldi.write_bytes("a caf\u00e9\n".encode("utf-16"))
    with pytest.raises(UserError, match="text: is UTF-16; convert it"):
        list(read_lines(kaldi))
