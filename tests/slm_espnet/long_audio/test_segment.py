"""The segment command: a data directory of pieces, decoded and put together again."""

from __future__ import annotations

import json

import pytest
import soundfile

from slm_espnet.bin import decode, score, segment
from slm_espnet.data.audio import read_audio
from slm_espnet.data.datadir import read_data_dir
from slm_espnet.errors import UserError
from slm_espnet.long_audio.datadir import read_pieces, whole_dir
from slm_espnet.long_audio.decoded import merge_by_audio, merge_decoded

from .conftest import RATE, make_talk


@pytest.fixture
def talks(tmp_path):
    """data/: two tasks on a recording of 70 s, and one of 5 s; returns the words of both recordings."""
    folder = tmp_path / "data"
    folder.mkdir()
    found = {"long": make_talk(70, 1), "short": make_talk(5, 2)}
    for name, talk in found.items():
        soundfile.write(folder / f"{name}.wav", talk.samples, RATE)
    rows = {"long-asr": "long", "long-ast": "long", "short-asr": "short"}
    tables = {
        "wav.scp": {row: folder / f"{name}.wav" for row, name in rows.items()},
        "text": {row: " ".join(found[name].words) for row, name in rows.items()},
        "prompt": {row: f"do {row}" for row in rows},
        "utt2task": {row: row.split("-")[1] for row in rows},
    }
    for table, values in tables.items():
        lines = [f"{row} {value}\n" for row, value in values.items()]
        (folder / table).write_text("".join(lines), encoding="utf-8")
    return {row: found[name].words for row, name in rows.items()}


def run(tmp_path, *options, status=0):
    arguments = ["--data_dir", tmp_path / "data", "--output_dir", tmp_path / "pieces", *options]
    assert segment.main([str(argument) for argument in arguments]) == status
    return tmp_path / "pieces"


def test_pieces_are_rows_like_any_other(tmp_path, talks, capsys):
    pieces = run(tmp_path)
    assert "3 rows in" in capsys.readouterr().out
    rows = read_data_dir(pieces)
    named = read_pieces(pieces)
    assert [len(named[row]) for row in talks] == [4, 4, 1]
    assert {row.utt_id: (row.task, row.prompt) for row in rows}["long-ast-0002"] == ("ast", "do long-ast")
    assert len({row.audio.key for row in rows}) == 5, "both tasks of a piece share its audio"
    for row in rows:
        seconds = row.audio.stop - row.audio.start
        assert len(read_audio(row.audio, RATE)) == pytest.approx(seconds * RATE, abs=2) and seconds <= 25
    words = [word for row in rows if row.utt_id.startswith("long-asr") for word in row.text.split()]
    assert words == talks["long-asr"], "the pieces' texts are all of the text, in order"
    assert [row.text.split() for row in read_data_dir(whole_dir(pieces))] == list(talks.values())


def test_segments_of_long_recordings_can_be_cut_too(tmp_path, talks):
    data = tmp_path / "data"
    (data / "wav.scp").write_text(f"tape {data / 'long.wav'}\n", encoding="utf-8")
    (data / "segments").write_text("long-asr tape 10 65\nlong-ast tape 0 8\nshort-asr tape 60 -1\n", encoding="utf-8")
    rows = [row for row in read_data_dir(run(tmp_path)) if row.utt_id.startswith("long-asr")]
    assert len(rows) == 3 and rows[0].audio.start == pytest.approx(10, abs=1) and rows[-1].audio.stop <= 65
    assert {row.audio.path for row in rows} == {str(data / "long.wav")}


def test_hypotheses_of_pieces_become_those_of_recordings(tmp_path, talks, encoder):
    pieces = run(tmp_path, "--max_seconds", "9", "--min_seconds", "4", "--overlap_seconds", "2")
    output = tmp_path / "decoded"
    output.mkdir()
    rows = [row for row in read_data_dir(pieces) if row.task == "asr"]
    texts = {row.utt_id: encoder.recognize(read_audio(row.audio, RATE)) for row in rows}
    flags = {"score": -1.0, "truncated": False, "looped": False}
    # as decoding writes them: a line separator that the LLM wrote is no end of a line
    said = [{"utt_id": utt_id, "text": f"{text}\u2028", **flags} for utt_id, text in texts.items()]
    lines = [json.dumps(values, ensure_ascii=False) for values in said]
    (output / "hypotheses.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    summary = merge_decoded(pieces, output)
    assert summary == {"utterances": 2, "decoded": 2, "incomplete": 0}  # the other task was not asked for
    found = dict(line.split(" ", 1) for line in (output / "whole" / "text").read_text().splitlines())
    assert {row: text.split() for row, text in found.items()} == {row: talks[row] for row in found}
    by_audio = merge_by_audio(pieces, {row.audio.key: texts[row.utt_id] for row in rows})
    assert sorted(by_audio.values()) == sorted(found.values())

    (output / "hypotheses.jsonl").write_text("\n".join(lines[1:-1]) + "\n", encoding="utf-8")
    (output / "left_out.tsv").write_text(f"{rows[0].utt_id}\tno frames\n{rows[-1].utt_id}\tno frames\n")
    assert merge_decoded(pieces, output) == {"utterances": 2, "decoded": 1, "incomplete": 1}
    assert (output / "whole" / "left_out.tsv").read_text() == "short-asr\tno piece has a hypothesis\n"


def test_decoding_and_scoring_of_pieces_are_of_the_recordings(tmp_path, talks, encoder):
    pieces = run(tmp_path, "--max_seconds", "9", "--min_seconds", "4", "--overlap_seconds", "2")
    output = tmp_path / "exp" / "decode_greedy" / "pieces"
    output.mkdir(parents=True)
    flags = {"score": -1.0, "truncated": False, "looped": False}
    with (output / "hypotheses.jsonl").open("w", encoding="utf-8") as file:
        for row in read_data_dir(pieces):
            text = encoder.recognize(read_audio(row.audio, RATE))
            file.write(json.dumps({"utt_id": row.utt_id, "text": text, **flags}) + "\n")
    (output / "text").write_text("".join(f"{row.utt_id} ignored\n" for row in read_data_dir(pieces)), encoding="utf-8")
    decode.put_together(pieces, output)
    tasks = tmp_path / "tasks.yaml"
    wording = "{scorer: wer, normalizer: basic, prompts: {default: [do]}, eval_prompt: {default: do}}"
    tasks.write_text(f"tasks: {{asr: {wording}, ast: {wording}}}\n", encoding="utf-8")
    options = {"exp_dir": tmp_path / "exp", "inference_tag": "greedy", "datadir": tmp_path, "test_sets": "pieces"}
    options |= {"tasks_config": tasks, "train_tasks": "asr", "command": "none"}
    assert score.main([str(word) for name, value in options.items() for word in (f"--{name}", value)]) == 0
    results = json.loads((tmp_path / "exp" / "results.json").read_text(encoding="utf-8"))
    counts = {row["task"]: (row["value"], row["count"]) for row in results if row["metric"] == "wer"}
    assert counts == {"asr": (0, 2), "ast": (0, 1)}


def test_recordings_that_cannot_be_read_are_counted_and_good_ones_kept(tmp_path, talks, capsys):
    (tmp_path / "data" / "short.wav").write_bytes(b"RIFF")
    pieces = run(tmp_path, status=1)
    assert sorted(read_pieces(pieces)) == ["long-asr", "long-ast"]
    assert "left out: 1 unreadable audio" in capsys.readouterr().out
    assert (pieces / "left_out.tsv").read_text().startswith("short-asr\tunreadable audio\t")
    assert [row.utt_id for row in read_data_dir(whole_dir(pieces))] == ["long-asr", "long-ast"]
    run(tmp_path, "--max_failed", "0.5")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--pauses", "ctc"), "needs --foundation"),
        (("--pauses", "silero"), "needs --silero_model"),
        (("--foundation", "x.yaml"), "--foundation goes with --pauses ctc"),
        (("--min_seconds", "40"), "min_seconds must be above 0 and below max_seconds 25"),
    ],
)
def test_misuse_is_refused_with_a_cure(tmp_path, talks, options, message):
    with pytest.raises(UserError, match=message):
        run(tmp_path, *options)
    with pytest.raises(UserError, match="directory of their own"):
        segment.main(["--data_dir", str(tmp_path / "data"), "--output_dir", str(tmp_path / "data")])
