"""Data directories: strict reading, checking, repairing, subsets and unions."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from slm_espnet.data.datadir import AudioSource, Row, read_data_dir
from slm_espnet.data.validate import fix, validate
from slm_espnet.errors import UserError

TOP = Path(__file__).resolve().parents[3]


@pytest.fixture
def wav(tmp_path):
    path = tmp_path / "r.wav"
    soundfile.write(path, np.zeros(16000), 16000)
    return str(path)


def write(directory, **tables):
    directory.mkdir(parents=True, exist_ok=True)
    for name, lines in tables.items():
        content = "".join(f"{line}\n" for line in lines)
        (directory / name.replace("__", ".")).write_bytes(content.encode() if isinstance(content, str) else content)
    return directory


def good_dir(directory, wav, ids=("a-1", "a-2", "b-1")):
    return write(
        directory,
        wav__scp=[f"{i} {wav}" for i in ids],
        text=[f"{i} words of {i}" for i in ids],
        utt2spk=[f"{i} {i[0]}" for i in ids],
        utt2task=[f"{i} {'ast' if i == 'a-2' else 'asr'}" for i in ids],
    )


def test_rows_of_a_full_directory(tmp_path, wav):
    directory = good_dir(tmp_path / "d", wav)
    write(
        directory,
        prompt=["a-1 write this", "a-2 translate this", "b-1 write this"],
        utt2lang=["a-1 en", "a-2 en", "b-1 es"],
        context=['a-2 ["anna maría", "bo"]'],
        transcript=["a-2 said so"],
        utt2category=["b-1 food"],
    )
    rows = read_data_dir(directory)
    context = ("anna maría", "bo")
    assert rows[1] == Row(
        "a-2", AudioSource(wav), "words of a-2", "translate this", "ast", "en", "a", context, "said so", None
    )
    assert (rows[2].speaker, rows[2].category, rows[2].context, rows[2].transcript) == ("b", "food", (), None)
    assert len({row.audio.key for row in rows}) == 1  # the same recording is encoded once


def test_segments(tmp_path, wav):
    directory = write(
        tmp_path / "d",
        wav__scp=[f"rec {wav}"],
        segments=["u1 rec 0 0.5", "u2 rec 0.5 -1"],
        text=["u1 one", "u2 two"],
    )
    rows = read_data_dir(directory)
    assert [row.audio for row in rows] == [AudioSource(wav, 0.0, 0.5), AudioSource(wav, 0.5, None)]
    assert rows[0].audio.key != rows[1].audio.key
    write(directory, segments=["u1 rec 0 0.5", "u2 other 0 1"])
    with pytest.raises(UserError, match=r"segments:2: recording 'other' is not in"):
        read_data_dir(directory)


@pytest.mark.parametrize(
    ("table", "lines", "message"),
    [
        ("text", ["a-1 x", "b-1 x"], r"wav.scp:2: utterance 'a-2' has no line in .*text; add it, or run utils/fix_"),
        ("text", ["a-1 x", "a-2 x", "a-3 x", "b-1 x"], r"text:3: utterance 'a-3' has a line here but none in wav.scp"),
        ("text", ["a-1 x", "b-1 x", "a-2 x"], r"text:3: id 'a-2' comes after 'b-1': the file is not sorted"),
        ("text", ["a-1 x", "a-1 y", "a-2 x", "b-1 x"], r"text:2: id 'a-1' occurs twice"),
        ("context", ["a-1 ana, bo"], r"context:1: expected a JSON list"),
        ("wav.scp", ["a-1", "a-2 p", "b-1 p"], r"wav.scp:1: utterance 'a-1' has no path"),
    ],
)
def test_strict_reading_names_file_line_and_cure(tmp_path, wav, table, lines, message):
    directory = write(good_dir(tmp_path / "d", wav), **{table.replace(".", "__"): lines})
    with pytest.raises(UserError, match=message):
        read_data_dir(directory)


def test_not_utf8_names_the_byte(tmp_path, wav):
    directory = good_dir(tmp_path / "d", wav)
    (directory / "text").write_bytes("a-1 x\na-2 mañana\nb-1 x\n".encode("latin1"))
    with pytest.raises(UserError, match=r"text:2: not UTF-8: byte 0xf1 at column 7; convert"):
        read_data_dir(directory)
    report = validate(directory)
    assert (report.kept, dict(report.left_out)) == (2, {"not UTF-8": 1})


def test_windows_line_ends_and_byte_order_mark_are_harmless(tmp_path, wav):
    directory = good_dir(tmp_path / "d", wav)
    (directory / "text").write_bytes(b"\xef\xbb\xbfa-1 x\r\na-2 y\xc2\xa0z\r\n\r\nb-1 x\r\n")
    assert [row.text for row in read_data_dir(directory)] == ["x", "y\u00a0z", "x"]


def test_directories_of_other_stages_are_named(tmp_path):
    for name, content in (("index.tsv", "holds encodings"), ("hypotheses.jsonl", "holds hypotheses")):
        directory = tmp_path / name.replace(".", "_")
        directory.mkdir()
        (directory / name).touch()
        with pytest.raises(UserError, match=f"{content}.* not a data directory"):
            read_data_dir(directory)
    features = write(tmp_path / "f", wav__scp=[], feats_type=["fbank_pitch"])
    with pytest.raises(UserError, match="holds fbank_pitch features, not audio"):
        read_data_dir(features)
    with pytest.raises(UserError, match="no such data directory"):
        read_data_dir(tmp_path / "nothing")
    with pytest.raises(UserError, match="file text is missing"):
        read_data_dir(write(tmp_path / "half", wav__scp=["a p"]))


def bad_dir(directory, wav):
    """Eight utterances, of which three can be used; nothing is in order."""
    soundfile.write(directory.parent / "empty.wav", np.zeros(0), 16000)
    return write(
        directory,
        wav__scp=[f"g3 {wav}", f"g1 {wav}", f"g2 {wav}", f"e {wav}", "m /no/such.wav", f"n {wav}", f"d {wav}",
                  f"z {directory.parent}/empty.wav"],
        text=["d one", "d two", "e", "g1 x", "g1 x", "g2 x", "g3 x", "m x", "t x", "z x"],
    )  # fmt: skip


def test_every_utterance_is_kept_or_counted_with_its_reason(tmp_path, wav):
    report = validate(bad_dir(tmp_path / "d", wav))
    assert report.kept == 3
    assert report.left_out == {
        "audio without text": 1, "text without audio": 1, "duplicate id": 1, "empty target": 1, "missing audio": 1,
        "zero length": 1,
    }  # fmt: skip
    assert report.repairs == {"unsorted table": 1, "repeated line": 1}
    table = report.table()
    assert "left out: missing audio" in table and "/no/such.wav: No such file" in table and "text:9:" in table
    with pytest.raises(UserError, match="6 of 9 utterances cannot be used.*--max_failed"):
        report.check_share(0.5)


def test_fix_keeps_the_good_ones_and_a_backup(tmp_path, wav):
    directory = bad_dir(tmp_path / "d", wav)
    before = (directory / "text").read_bytes()
    assert not fix(directory, max_failed=0.01).share_is_fine(0.01)
    assert (directory / "text").read_bytes() == before  # too many failed: nothing is written
    fix(directory, tmp_path / "copy", max_failed=0.9)
    assert (directory / "text").read_bytes() == before
    fix(directory, max_failed=0.9)
    for fixed in (directory, tmp_path / "copy"):
        assert [row.utt_id for row in read_data_dir(fixed)] == ["g1", "g2", "g3"]
        assert validate(fixed).good
    assert (directory / ".backup" / "text").read_bytes() == before


def test_full_check_reads_the_samples(tmp_path, wav):
    directory = good_dir(tmp_path / "d", wav)
    soundfile.write(tmp_path / "nan.wav", np.array([0.0, np.nan]), 16000, subtype="FLOAT")
    write(directory, wav__scp=[f"a-1 {wav}", f"a-2 {tmp_path}/nan.wav", f"b-1 false {wav} |"])
    report = validate(directory)
    assert (report.kept, report.unchecked_pipes) == (3, 1)
    report = validate(directory, audio="full")
    assert report.left_out == {"not finite": 1, "failed pipe": 1}


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, cwd=TOP)


def test_check_data_command(tmp_path, wav):
    good = good_dir(tmp_path / "good", wav)
    bad = bad_dir(tmp_path / "bad", wav)
    done = run("bash", TOP / "utils/validate_data_dir.sh", bad, good)
    assert done.returncode == 2 and "6 of 9 utterances" in done.stderr and "good: 3 utterances" in done.stdout
    done = run("bash", TOP / "utils/fix_data_dir.sh", "--max_failed", "0.7", bad)
    assert done.returncode == 0 and len(read_data_dir(bad)) == 3
    assert run("bash", TOP / "utils/validate_data_dir.sh", bad, good).returncode == 0


def test_subset_and_combine(tmp_path, wav):
    source = good_dir(tmp_path / "d", wav)
    write(source, utt2num_samples=["a-1 16000", "a-2 16000", "b-1 16000"])
    tool = TOP / "utils/subset_data_dir.sh"
    assert run("bash", tool, "--tasks", "asr", source, tmp_path / "asr").stdout.strip().endswith(": 2 utterances")
    assert [row.utt_id for row in read_data_dir(tmp_path / "asr")] == ["a-1", "b-1"]
    assert (tmp_path / "asr/spk2utt").read_text() == "a a-1\nb b-1\n"
    assert (tmp_path / "asr/utt2num_samples").read_text() == "a-1 16000\nb-1 16000\n"
    done = run("bash", tool, "--tasks", "qa", source, tmp_path / "qa")
    assert done.returncode == 2 and "no utterance is chosen; tasks there: asr, ast" in done.stderr
    run("bash", tool, "--first", "1", source, tmp_path / "one")
    run("bash", tool, "--last", "1", source, tmp_path / "last")
    run("bash", TOP / "utils/combine_data_dir.sh", tmp_path / "both", tmp_path / "one", tmp_path / "last")
    assert [row.utt_id for row in read_data_dir(tmp_path / "both")] == ["a-1", "b-1"]
    clash = good_dir(tmp_path / "clash", "/other.wav", ids=("b-1",))
    done = run("bash", TOP / "utils/combine_data_dir.sh", tmp_path / "x", source, clash)
    assert done.returncode == 2 and "id 'b-1' is also at" in done.stderr


def test_random_subset_is_the_same_for_the_same_seed(tmp_path, wav):
    source = good_dir(tmp_path / "d", wav, ids=[f"u{i:03d}" for i in range(100)])
    tool = TOP / "utils/subset_data_dir.sh"
    chosen = []
    for name, seed in (("x", "1"), ("y", "1"), ("z", "2")):
        run("bash", tool, "--random", "10", "--seed", seed, source, tmp_path / name)
        chosen.append([row.utt_id for row in read_data_dir(tmp_path / name)])
    assert len(chosen[0]) == 10 and chosen[0] == chosen[1] != chosen[2]


def test_importing_the_commands_needs_no_torch():
    code = "import sys, slm_espnet.bin.check_data, slm_espnet.data.tools; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=TOP).returncode == 0
