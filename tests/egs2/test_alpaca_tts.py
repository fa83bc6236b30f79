"""The Alpaca recipe on a made-up miniature in the published layout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile
from corpus_fixtures import text_corpora
from corpus_fixtures.stage1 import prepare
from corpus_harness import write_text

pytest.importorskip("espeakng_loader", reason="speech synthesis needs espeakng-loader")

SMALL = "--dev 1 --test 2"
REAL = Path(__file__).resolve().parents[3] / "shared/data/text/instructions/llamafactory_alpaca_en_demo.json"


def all_rows(work):
    return {utt: row for name in work.sets for utt, row in work.rows(name).items()}


def test_all_stages(recipes, tmp_path):
    corpus = text_corpora.alpaca(tmp_path / "alpaca")
    work = recipes.run("alpaca_tts", tmp_path, ALPACA=corpus, options=("--local_data_opts", SMALL))
    (bleu,) = [row for row in work.scores() if row["metric"] == "bleu"]
    assert (bleu["task"], bleu["count"], bleu["seen"]) == ("instruction", 2, True)


def test_the_input_is_spoken_where_there_is_one_else_the_instruction(tmp_path):
    corpus = text_corpora.alpaca(tmp_path / "alpaca")
    work = prepare("alpaca_tts", tmp_path, corpus, SMALL)
    rows = all_rows(work)
    assert len(rows) == 9 and {name: len(work.rows(name)) for name in work.sets} == {"dev": 1, "test": 2, "train": 6}
    assert rows["alpaca-000001"].prompt == "Give a synonym." and rows["alpaca-000001"].transcript == "big"
    assert rows["alpaca-000002"].transcript == "Name three colors" and rows["alpaca-000002"].text == "red, green, blue"
    assert rows["alpaca-000004"].transcript == "What is the capital of France?"  # <noinput> is none
    assert {row.prompt for row in rows.values() if row.transcript == row.prompt} == set()
    assert soundfile.info(rows["alpaca-000004"].audio.path).duration > 1
    voices = [{row.speaker for row in work.rows(name).values()} for name in work.sets]
    assert sum(map(len, voices)) == len(set.union(*voices))


def test_both_are_spoken_by_option(tmp_path):
    corpus = text_corpora.alpaca(tmp_path / "alpaca")
    options = f"{SMALL} --speak all"
    rows = all_rows(prepare("alpaca_tts", tmp_path, corpus, options))
    assert rows["alpaca-000003"].transcript == "Correct the sentence. he go home"
    assert rows["alpaca-000005"].transcript == "Say it shorter: a very long day"
    assert rows["alpaca-000008"].transcript == 'Finish the line. so "quoted" is this'
    assert {row.prompt for row in rows.values()} <= {"Do what the speaker asks for", "Follow the spoken instruction"}


def test_rows_without_input_are_counted_where_only_inputs_are_spoken(tmp_path):
    corpus = text_corpora.alpaca(tmp_path / "alpaca")
    options = f"{SMALL} --speak input --max_words 3"
    work = prepare("alpaca_tts", tmp_path, corpus, options)
    left_out = work.left_out("train")
    assert len(left_out["no input"]) == 3
    assert sorted(left_out["more than 3 words to speak"]) == ["alpaca-000005", "alpaca-000008"]
    assert len(all_rows(work)) == 4


def test_a_subset_speaks_no_more_than_it_keeps_and_a_second_run_nothing(tmp_path):
    corpus = text_corpora.alpaca(tmp_path / "alpaca")
    options = f"{SMALL} --subset 1"
    work = prepare("alpaca_tts", tmp_path, corpus, options)
    assert [len(work.rows(name)) for name in work.sets] == [1, 1, 1]
    spoken = {path: path.stat().st_mtime_ns for path in tmp_path.glob("dump/audio/**/*.flac")}
    assert len(spoken) == 3
    prepare("alpaca_tts", tmp_path, corpus, options)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("dump/audio/**/*.flac")} == spoken


def test_bad_records_are_left_out_with_their_place(tmp_path):
    good = [{"instruction": f"do this {i}", "input": f"word {i}", "output": "done"} for i in range(6)]
    bad = [{"instruction": "no output", "input": ""}, "no record", {"instruction": "a", "input": 3, "output": "b"}]
    mute = [{"instruction": "go on", "input": "!!!", "output": "never"}, {**good[0], "output": ""}]
    corpus = text_corpora.alpaca(tmp_path / "alpaca", [*good, *bad, *mute])
    path = corpus / "alpaca_data.json"
    path.write_bytes(path.read_bytes().replace(b"word 5", b"w\xf6rd 5"))
    options = f"{SMALL} --max_failed 0.9"
    work = prepare("alpaca_tts", tmp_path, corpus, options)
    reasons = {reason: len(ids) for name in work.sets for reason, ids in work.left_out(name).items()}
    assert reasons == {"malformed record": 3, "nothing to say": 1, "empty text": 1, "not UTF-8": 1}
    assert "alpaca_data.json, record 7: 'output' is missing" in work.output
    assert len(all_rows(work)) == 5
    work = prepare("alpaca_tts", tmp_path / "strict", corpus, SMALL, check=False)
    assert work.status == 2 and "--max_failed" in work.output and work.sets == ()


def test_a_truncated_or_missing_file_is_an_error_that_says_so(tmp_path):
    path = text_corpora.alpaca(tmp_path / "alpaca") / "alpaca_data.json"
    path.write_bytes(path.read_bytes()[:200])
    work = prepare("alpaca_tts", tmp_path, path.parent, check=False)
    assert work.status == 2 and "alpaca_data.json:10: not valid JSON" in work.output and "copy it again" in work.output
    path.unlink()
    work = prepare("alpaca_tts", tmp_path, path.parent, check=False)
    assert work.status == 2 and "alpaca_data.json is missing" in work.output and "db.sh" in work.output


def test_another_program_speaks(recipes, tmp_path):
    corpus = text_corpora.alpaca(tmp_path / "alpaca")
    program = write_text(
        tmp_path / "say",
        "#!/usr/bin/env python3\nimport sys, wave\nif sys.stdin.read() == 'dog':\n    sys.exit('no dogs')\n"
        "with wave.open(sys.argv[1], 'wb') as file:\n    file.setparams((1, 2, 8000, 0, 'NONE', ''))\n"
        "    file.writeframes(b'ab' * 4000)\n",
    )
    program.chmod(0o755)
    options = ("--local_data_opts", f"{SMALL} --max_failed 0.9")
    variables = {"ALPACA": corpus, "TTS_COMMAND": f"{program} {{output}}"}
    work = recipes.prepare("alpaca_tts", tmp_path, options=options, **variables)
    assert {soundfile.info(row.audio.path).samplerate for row in all_rows(work).values()} == {8000}
    assert [ids for name in work.sets for ids in work.left_out(name).values()] == [["alpaca-000007"]]
    assert "no dogs" in work.output


@pytest.mark.skipif(not REAL.is_file(), reason="no Alpaca records beside the checkout (../shared)")
def test_published_records(tmp_path):
    published = json.loads(REAL.read_text(encoding="utf-8"))
    corpus = text_corpora.alpaca(tmp_path / "alpaca", published)
    work = prepare("alpaca_tts", tmp_path, corpus, "--dev 20 --subset 3")
    assert [len(work.rows(name)) for name in work.sets] == [3, 3, 3]
    for utt, row in all_rows(work).items():
        record = published[int(utt.rpartition("-")[2]) - 1]
        assert row.text == " ".join(record["output"].split())
        assert row.transcript == " ".join((record["input"] or record["instruction"]).split())
    assert not [reason for name in work.sets for reason in work.left_out(name) if not reason.startswith("more than")]
