"""The recipe for one's own recordings: tables as people write them."""

from __future__ import annotations

import json
import shutil

from corpus_fixtures.stage1 import prepare
from corpus_harness import write_audio, write_text

SETS = ("train", "dev", "test")  # of the first rows; a table that names dev and test has the rest for train


def recordings(folder, count=6):
    """A folder of recordings; returns their names."""
    return [write_audio(folder / f"audio/r {n}.wav", 1.0 + n / 10, n).relative_to(folder) for n in range(count)]


def all_rows(work):
    return {utt: (name, row) for name in work.sets for utt, row in work.rows(name).items()}


def test_all_stages_from_two_columns(recipes, tmp_path):
    corpus = tmp_path / "own"
    lines = [f"{path}\tHello, number {n}!" for n, path in enumerate(recordings(corpus))]
    write_text(corpus / "data.tsv", "\n".join(["audio\ttext", *lines, ""]))
    work = recipes.run("own_data", tmp_path, OWN_DATA=corpus)
    assert {name: len(work.rows(name)) for name in work.sets} == {"dev": 1, "test": 1, "train": 4}
    name, row = all_rows(work)["audio_r_2"]
    assert row.text == row.transcript == "hello number 2" and row.language == "en"
    (wer,) = [row for row in work.scores() if row["metric"] == "wer"]
    assert wer["count"] == 1


def test_every_column_is_used(tmp_path):
    corpus = tmp_path / "own"
    names = recordings(corpus)
    rows = [
        {"audio": "audio/r 0", "text": "Hallo.", "language": "de", "set": "test", "id": "first one", "speaker": "a b"},
        {"audio": str(names[1]), "text": "Good day", "language": "de", "target_language": "en", "task": "ast",
         "transcript": "Guten Tag", "set": "test", "context": ["Ann"], "references": "Good day|Hello"},
        {"audio": str(names[2]), "text": "two", "prompt": "How many?", "task": "qa", "start": 0.2, "stop": "0.9",
         "set": "test"},
        {"audio": str(names[2]), "text": "three", "start": 0.9, "set": "dev"},
        *({"audio": str(name), "text": "train me", "speaker": "c"} for name in names[3:]),
    ]  # fmt: skip
    write_text(corpus / "table.jsonl", "\n".join(json.dumps(row) for row in rows))
    options = "--normalize none"
    work = prepare("own_data", tmp_path, corpus, options)
    found = all_rows(work)
    assert [name for name, _ in found.values()].count("train") == 3
    _, german = found["first_one"]
    assert (german.text, german.speaker, german.prompt) == ("Hallo.", "a_b", "Recognize this speech in German")
    assert german.audio.path == str(corpus / "audio/r 0.wav")
    _, translated = found["audio_r_1"]
    assert translated.prompt == "Translate this speech from German to English" and translated.languages == "de_en"
    assert (translated.transcript, translated.context) == ("Guten Tag", ("Ann",))
    assert translated.references == ("Good day", "Hello")
    _, question = found["audio_r_2"]
    assert (question.prompt, question.audio.start, question.audio.stop) == ("How many?", 0.2, 0.9)
    _, rest = found["audio_r_2-2"]
    assert (rest.audio.start, rest.audio.stop, rest.text) == (0.9, None, "three")


def test_speakers_stay_together_where_there_are_enough(tmp_path):
    corpus = tmp_path / "own"
    lines = [f"{path}\thello\tspeaker{n % 3}" for n, path in enumerate(recordings(corpus))]
    write_text(corpus / "data.tsv", "\n".join(["audio\ttext\tspeaker", *lines]))
    work = prepare("own_data", tmp_path, corpus)
    assert [{row.speaker for row in work.rows(name).values()} for name in work.sets] == [
        {"speaker" + str(n)} for n in (int(next(iter(work.rows(name).values())).speaker[-1]) for name in work.sets)
    ]
    assert sum(len(work.rows(name)) for name in work.sets) == 6


def test_bad_rows_are_left_out_with_their_place(tmp_path):
    corpus = tmp_path / "own"
    names = recordings(corpus)
    write_text(corpus / "empty.wav", b"")
    write_text(corpus / "cut.wav", (corpus / names[0]).read_bytes()[:30])
    table = "audio\ttext\tid\tstart\tstop\ttask\tset\tlanguage\n" + "".join(
        "\t".join([*row, *[""] * (8 - len(row))]) + "\n"
        for row in [
            *([str(name), f"good {n}", "", "", "", "", *SETS[n : n + 1]] for n, name in enumerate(names)),
            ["nowhere.wav", "text"],
            ["empty.wav", "text"],
            ["cut.wav", "text"],
            ["", "text"],
            [str(names[0]), ""],
            [str(names[0]), "text", "twice"],
            [str(names[1]), "text", "twice"],
            [str(names[0]), "text", "", "7", "9"],
            [str(names[0]), "text", "", "2", "1"],
            [str(names[0]), "text", "", "soon"],
            [str(names[0]), "text", "", "", "", "guessing"],
            [str(names[0]), "text", "", "", "", "", "exam"],
            [str(names[0]), "text", "", "", "", "", "", "xx-unknown"],
            [str(names[0]), "text", "", "", "", "qa"],
        ]
    )
    data = table.encode() + f"{names[2]}\ttoo few columns\n".encode() + b"audio/r 2.wav\tgr\xf6\xdfe\t\t\t\t\t\t\n"
    write_text(corpus / "data.tsv", data)
    options = "--max_failed 0.99"
    work = prepare("own_data", tmp_path, corpus, options)
    reasons = {}
    for name in work.sets:
        for reason, ids in work.left_out(name).items():
            reasons[reason] = reasons.get(reason, 0) + len(ids)
    assert reasons == {
        "missing audio": 1, "unreadable audio": 2, "row without audio": 1, "empty text": 1, "duplicate id": 1,
        "segment past the end": 1, "bad times": 2, "unknown task": 1, "unknown set": 1, "no prompt": 2,
        "wrong column count": 1, "not UTF-8": 1,
    }  # fmt: skip
    assert len(all_rows(work)) == 7  # all good ones, and the first of the two that are called twice
    assert "data.tsv:8" in "".join(work.places("train") + work.places("dev") + work.places("test"))


def test_what_is_wrong_with_the_folder_is_said(tmp_path):
    def complaint(corpus):
        work = prepare("own_data", tmp_path, corpus, check=False)
        assert work.status == 2
        return work.output

    assert "where is the corpus? set OWN_DATA= in db.sh" in complaint("")
    corpus = tmp_path / "own"
    recordings(corpus, 3)
    assert "make" in complaint(corpus) and "audio<tab>text" in complaint(corpus)
    write_text(corpus / "a.tsv", "file\twords\nx\ty\n")
    assert "a.tsv:1: the heading has no audio, text" in complaint(corpus)
    write_text(corpus / "a.tsv", "audio\ttext\ttranscipt\nx\ty\tz\n")
    assert "unknown column transcipt" in complaint(corpus)
    write_text(corpus / "b.tsv", "audio\ttext\n")
    assert "a.tsv, b.tsv: say which with --table" in complaint(corpus)
    write_text(corpus / "data.tsv", "audio\ttext\naudio/r 0.wav\tone\naudio/r 1.wav\ttwo\n")
    assert "2 group(s) cannot be split into train, dev, test: add data" in complaint(corpus)


def test_files_that_are_not_what_they_seem_are_left_out_and_the_rest_is_encoded(recipes, tmp_path):
    """Stages 1 and 2: cut files, pages of errors, kinds that need ffmpeg; what stage 1 passes, stage 2 names."""
    corpus = tmp_path / "own"
    names = recordings(corpus)
    whole = (corpus / names[0]).read_bytes()
    bad = {
        "cut.wav": whole[: len(whole) // 2], "page.mp3": b"<html>404 not found</html>" * 99,
        "voice.m4a": b"\0\0\0\x1cftypM4A " + bytes(99), "zeros.flac": bytes(999),
    }  # fmt: skip
    if shutil.which("ffmpeg"):  # which is asked in stage 2
        del bad["voice.m4a"]
    for name, content in bad.items():
        write_text(corpus / name, content)
    rows = [f"{name}\tgood {n}\t{(*SETS, 'train', 'train', 'train')[n]}" for n, name in enumerate(names)]
    rows += [f"{name}\tbad\ttrain" for name in bad]
    write_text(corpus / "data.tsv", "\n".join(["audio\ttext\tset", *rows, ""]))
    options = ["--stop_stage", "2", "--local_data_opts", "--max_failed 0.6", "--max_failed", "0.6"]
    work = recipes.run("own_data", tmp_path, options=options, OWN_DATA=corpus)
    assert {name: len(work.rows(name)) for name in work.sets} == {"dev": 1, "test": 1, "train": 4}
    found = work.left_out("train")
    expected = {"truncated audio": 1, "unreadable audio": 2, "needs ffmpeg": 1}
    assert {reason: len(ids) for reason, ids in found.items()} == dict(list(expected.items())[: len(bad) - 1])


def test_a_row_of_a_table_without_times_is_left_out_by_line(tmp_path):
    corpus = tmp_path / "own"
    for name in ("a", "b", "c", "d"):
        write_audio(corpus / f"{name}.wav", 1.5, 0)
    rows = ["a.wav\tone\ttrain\tnan\t1.0", "d.wav\tfour\ttrain\t0\t1.0"]
    rows += ["b.wav\ttwo\tdev\t0\t1.0", "c.wav\tthree\ttest\t\t"]
    write_text(corpus / "data.tsv", "\n".join(["audio\ttext\tset\tstart\tstop", *rows, ""]))
    work = prepare("own_data", tmp_path, corpus, "--max_failed 0.5")
    assert sum(len(work.rows(name)) for name in work.sets) == 3
    found = "".join(path.read_text(encoding="utf-8") for path in tmp_path.rglob("left_out.tsv"))
    assert "bad times" in found and "data.tsv:2" in found
