"""What every data preparation stands on: rows in, data directories and a table of what was left out."""

import pytest
import soundfile
import torch

from slm_espnet.data.corpus import CorpusWriter, corpus_folder, corpus_parser
from slm_espnet.data.datadir import AudioSource, Row, read_data_dir
from slm_espnet.errors import UserError

TASKS = """tasks:
  asr:
    scorer: wer
    normalizer: basic
    prompts: {default: ["Write {language}", "Hear {language}", "Say {language}"]}
    eval_prompt: {default: "Recognize {language}"}
"""


@pytest.fixture
def audio(tmp_path):
    """Path of a recording of two seconds."""
    path = tmp_path / "a.wav"
    soundfile.write(path, torch.zeros(16000).numpy(), 8000)
    return str(path)


@pytest.fixture
def writer_of(tmp_path):
    """Function (*options) → writer."""
    (tmp_path / "tasks.yaml").write_text(TASKS)

    def make(*options):
        arguments = ["--corpus", tmp_path, "--data_dir", tmp_path / "data", "--tasks_config", tmp_path / "tasks.yaml"]
        return CorpusWriter(corpus_parser("Test").parse_args([str(part) for part in (*arguments, *options)]))

    return make


def row(utt_id, path, text="some words", start=None, stop=None):
    return Row(utt_id, AudioSource(path, start, stop), text, "prompt", "asr", "en", "speaker")


def test_rows_are_written_and_what_is_wrong_with_others_is_listed(writer_of, tmp_path, audio, capsys):
    writer = writer_of("--max_failed", "0.9")
    writer.add("train", row("u1", audio, " two\twords\n"), "f:1")
    writer.add("train", row("u2", audio, "x", 0.5, 1.5), "f:2")
    for utt_id, other in (("u1", audio), ("u 3", audio), ("u4", ""), ("u5", str(tmp_path / "none.wav"))):
        writer.add("train", row(utt_id, other), f"f:{utt_id[1:]}")
    writer.add("train", row("u6", audio, " \n"), "f:6")
    writer.add("train", row("u7", audio, "x", 1.0, 9.0), "f:7")
    writer.add("train", row("u8", audio, "x", 1.0, 1.0), "f:8")
    writer.leave_out("train", "u9", "silence", "f:9", unwanted=True)
    writer.finish()
    rows = {r.utt_id: r for r in read_data_dir(tmp_path / "data/train")}
    assert list(rows) == ["u1", "u2"] and rows["u1"].text == "two words"
    assert (rows["u2"].audio.start, rows["u2"].audio.stop) == (0.5, 1.5)
    lines = (tmp_path / "data/train/left_out.tsv").read_text().splitlines()
    assert {tuple(line.split("\t")[:3]) for line in lines[1:]} == {
        ("u1", "duplicate id", "f:1"), ("u 3", "bad id", "f: 3"), ("u4", "row without audio", "f:4"),
        ("u5", "missing audio", "f:5"), ("u6", "empty text", "f:6"), ("u7", "segment past the end", "f:7"),
        ("u8", "zero length", "f:8"), ("u9", "silence", "f:9"),
    }  # fmt: skip
    printed = capsys.readouterr().out
    assert "data/train: 2 kept" in printed and "left out by design: silence  1" in printed


def test_too_much_left_out_is_an_error_and_nothing_is_written(writer_of, tmp_path, audio):
    def fill(writer, bad):
        for number in range(20):
            writer.add("train", row(f"u{number:02d}", audio, "" if number < bad else "x"), "f:1")
        writer.add("dev", row("d", audio), "f:1")
        writer.leave_out("dev", "e", "silence", "f:2", unwanted=True)

    writer = writer_of("--max_failed", "0.04")
    fill(writer, 1)
    with pytest.raises(UserError, match=r"set train: 5.0% of the utterances cannot be used \(1 empty text\)"):
        writer.finish()
    assert not list((tmp_path / "data").glob("*/wav.scp"))
    assert (tmp_path / "data/train/left_out.tsv").is_file()
    writer = writer_of("--max_failed", "0.05")
    fill(writer, 1)
    writer.finish()
    assert len(read_data_dir(tmp_path / "data/train")) == 19


def test_an_expected_set_without_rows_is_an_error(writer_of, audio):
    writer = writer_of()
    writer.add("train", row("u", audio), "f:1")
    writer.expect("test")
    with pytest.raises(UserError, match="set test: no utterance can be used"):
        writer.finish()


def test_lines_of_any_text_file(writer_of, tmp_path):
    writer = writer_of()
    path = tmp_path / "t.tsv"
    path.write_bytes('\ufeffone\t"a\r\n\n'.encode() + b"caf\xe9\n" + "two\u2028\x85three".encode())
    assert [(where.rsplit(":")[-1], line) for where, line in writer.lines("train", path)] == [
        ("1", 'one\t"a'), ("4", "two\u2028\x85three")
    ]  # fmt: skip
    ((_, problem),) = writer.sets["train"].failed
    assert problem.reason == "not UTF-8" and problem.where == f"{path}:3" and "0xe9 at column 4" in problem.message
    assert len(list(writer.lines("other", path, "latin-1"))) == 3
    with pytest.raises(UserError, match="cannot be read .* db.sh"):
        list(writer.lines("train", tmp_path / "none"))


def test_prompts_take_turns_in_training_only(writer_of):
    writer = writer_of()
    ids = [f"u{n}" for n in range(30)]
    drawn = [writer.prompt("asr", utt_id, training=True, language="de") for utt_id in ids]
    assert set(drawn) == {"Write German", "Hear German", "Say German"}
    assert drawn == [writer_of().prompt("asr", utt_id, training=True, language="de") for utt_id in ids]
    assert drawn != [writer_of("--seed", "2").prompt("asr", utt_id, training=True, language="de") for utt_id in ids]
    assert {writer.prompt("asr", utt_id, training=False, language="de") for utt_id in ids} == {"Recognize German"}
    with pytest.raises(UserError, match="has no task 'ast'"):
        writer.prompt("ast", "u", training=False)


def test_a_subset_looks_at_no_more_audio_than_it_needs(writer_of, tmp_path, audio, monkeypatch):
    looked = []
    monkeypatch.setattr("slm_espnet.data.corpus.audio_seconds", lambda source: looked.append(source.path) or 2.0)
    writer = writer_of("--subset", "4")
    for number in range(50):
        for question in "ab":  # two rows share a recording, and come together
            writer.add("train", row(f"u{number:02d}{question}", f"{number}.wav"), "f:1")
    writer.finish()
    rows = read_data_dir(tmp_path / "data/train")
    assert len(rows) == 4 and sorted({r.audio.path for r in rows}) == sorted(looked) and len(looked) == 2


def test_a_subset_has_the_same_rows_wherever_the_corpus_is(writer_of, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "a", target_is_directory=True)

    def subset(corpus, *options):
        writer = writer_of("--corpus", corpus, "--subset", "10", "--audio_check", "none", *options)
        for number in range(40):
            path = f"{corpus.resolve()}/{number}.wav"
            writer.add("train", row(f"u{number:02d}", path, start=number, stop=number + 1), "f:1")
            command = f"cut --channel 1 {corpus.absolute()}/{number}.sph |"  # one channel of it
            writer.add("train", row(f"c{number:02d}", command), "f:1")
        writer.finish()
        return [r.utt_id for r in read_data_dir(tmp_path / "data/train")]

    for folder in ("a", "elsewhere/b"):
        (tmp_path / folder).mkdir(parents=True)
    chosen = subset(tmp_path / "a")
    assert len(chosen) == 10 and chosen == subset(tmp_path / "elsewhere/b") == subset(tmp_path / "link")
    assert chosen != subset(tmp_path / "a", "--seed", "2")


def test_length_of_a_pipe_is_taken_on_trust(writer_of, tmp_path):
    writer = writer_of("--max_failed", "0.5")
    writer.recording_seconds("make sound |", 3.0)
    writer.add("train", row("a", "make sound |", "x", 1.0, 3.0), "f:1")
    writer.add("train", row("b", "make sound |", "x", 1.0, 4.0), "f:2")
    writer.finish()
    assert [r.utt_id for r in read_data_dir(tmp_path / "data/train")] == ["a"]


def test_the_corpus_folder_is_checked(tmp_path):
    (tmp_path / "part").mkdir()
    assert corpus_folder(tmp_path, "NAME", "part") == tmp_path.resolve()
    wrong = (("", "where is the corpus"), ("/none", "/none: no such folder"), (tmp_path, "other is missing"))
    for path, message in wrong:
        with pytest.raises(UserError, match=rf"{message}.*NAME= in db.sh"):
            corpus_folder(type(tmp_path)(path), "NAME", "other")
