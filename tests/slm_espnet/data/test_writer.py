"""What a recipe writes is what the toolkit reads."""

from __future__ import annotations

import pytest

from slm_espnet.data.datadir import AudioSource, Row, read_data_dir
from slm_espnet.data.writer import write_data_dir
from slm_espnet.errors import UserError


def row(utt_id: str, **values) -> Row:
    common = dict(text="sí señor", prompt="answer", task="dialog", language="en", speaker="anna")
    return Row(utt_id, AudioSource("/audio/one file.wav"), **{**common, **values})


def test_rows_come_back_as_they_were(tmp_path):
    rows = [
        row("b", context=("ana", "bo ris"), transcript="yes sir", category="story"),
        row("a", speaker="zoe", references=("sí", 'a "b"\nc'), target_language="es"),
    ]
    assert write_data_dir(tmp_path / "data", rows) == 2
    assert read_data_dir(tmp_path / "data") == sorted(rows, key=lambda r: r.utt_id)
    assert [r.languages for r in read_data_dir(tmp_path / "data")] == ["en_es", "en"]
    assert (tmp_path / "data" / "spk2utt").read_text() == "anna b\nzoe a\n"


def test_columns_of_an_earlier_preparation_do_not_stay(tmp_path):
    write_data_dir(tmp_path, [row("a", context=("ana",), transcript="yes")])
    write_data_dir(tmp_path, [row("a")])
    assert read_data_dir(tmp_path) == [row("a")]


def test_equal_ids_are_refused(tmp_path):
    with pytest.raises(UserError, match="'a' occurs twice"):
        write_data_dir(tmp_path / "data", [row("a"), row("b"), row("a", task="asr")])
    assert not (tmp_path / "data").exists()


def test_parts_of_recordings_come_back_as_they_were(tmp_path):
    sources = (
        AudioSource("/disc a/talk.sph", 0.0, 1.25), AudioSource("/disc a/talk.sph", 1234567.125, 1234568.0),
        AudioSource("/disc b/talk.sph", 0.1, None), AudioSource("cut --channel 1 /c/call.sph |", 3.0, 4.0),
    )  # fmt: skip
    rows = [Row(f"u{i}", source, "t", "p", "asr", "en", "s") for i, source in enumerate(sources)]
    write_data_dir(tmp_path / "d", rows)
    assert [row.audio for row in read_data_dir(tmp_path / "d")] == list(sources)
    assert len((tmp_path / "d/wav.scp").read_text().splitlines()) == 3, "recordings of the same name stay apart"
    whole = Row("u", AudioSource("/a.wav"), "t", "p", "asr", "en", "s")
    write_data_dir(tmp_path / "d", [whole])
    assert [row.audio for row in read_data_dir(tmp_path / "d")] == [whole.audio], "segments of before are gone"
