"""The recipe of recordings with captions: caption files as they are found, and a made-up folder of videos."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from corpus_fixtures.stage1 import prepare
from corpus_harness import write_audio, write_text

sys.path.insert(0, str(Path(__file__).parents[2] / "egs2/youtube/slm1/local"))

from captions import clean_line, is_rolling, read_captions, spoken_pieces  # noqa: E402

from slm_espnet.errors import UserError  # noqa: E402

# As automatic captions are stored: each line comes word by word, then stands for 10 ms, then above the next one.
AUTOMATIC = """WEBVTT
Kind: captions
Language: en

00:00:00.930 --> 00:00:03.080 align:start position:0%
 
and<00:00:01.230><c> now</c><00:00:01.439><c> can</c><c.colorE5E5E5><00:00:01.979><c> round</c></c>

00:00:03.080 --> 00:00:03.090 align:start position:0%
and now can round
 

00:00:03.090 --> 00:00:04.849 align:start position:0%
and now can round
for<00:00:03.120><c> Terrence</c><00:00:03.629><c> &amp;</c><00:00:03.900><c> Edwards</c>

00:00:04.849 --> 00:00:04.859 align:start position:0%
for Terrence &amp; Edwards
 

00:00:04.859 --> 00:00:07.000 align:start position:0%
for Terrence &amp; Edwards
[Applause]

00:00:07.000 --> 00:00:09.000 align:start position:0%
[Applause]
thank<00:00:07.300><c> you</c>
"""  # noqa: W291, W293

MANUAL = """WEBVTT - made by hand

STYLE
::cue { color: lime }

NOTE the speaker changes

first
00:01.000 --> 00:02.500
<v Ann>- No.

00:00:02.500 --> 00:00:04.000 line:0
- No.
>> BOB SMITH: Yes, <i>-5</i>&nbsp;degrees\u200b.

00:00:04.500 --> 00:00:06.000
\u266a la la la \u266a

00:00:06.000 --> 00:00:07.000
[MUSIC] (upbeat)

00:00:07.000 --> 00:00:09.000
what the [ __ ] is this
"""

SUBRIP = """1
00:00:00,500 --> 00:00:02,000
{\\an8}Guten Tag.

2
00:00:02,000 --> 00:00:03,500
Wie geht es
dir?

3
00:00:05,000 --> 00:00:04,000
verkehrt

kein Zeitpunkt

4
00:00:06,000 --> 00:00:08,000
ja < nein
"""


def pieces(tmp_path, text, name="talk.vtt"):
    return spoken_pieces(read_captions(write_text(tmp_path / name, text)).cues)


def test_rolling_captions_say_everything_once(tmp_path):
    captions = read_captions(write_text(tmp_path / "talk.vtt", AUTOMATIC))
    assert captions.language == "en" and is_rolling(captions.cues) and not captions.problems
    found = [(p.start, p.stop, p.text, p.reason) for p in spoken_pieces(captions.cues)]
    assert found == [
        (0.93, 3.08, "and now can round", ""),
        (3.09, 4.849, "for Terrence & Edwards", ""),
        (4.859, 7.0, "", "no words"),
        (7.0, 9.0, "thank you", ""),
    ]
    # the same without the times of words, as converters to SubRip leave it
    plain = AUTOMATIC.replace("<c>", "").replace("</c>", "").replace("<c.colorE5E5E5>", "")
    blocks = [line for line in plain.split("\n") if not line.startswith(("WEBVTT", "Kind", "Language"))]
    text = "\n".join(
        line.split("<")[0] + "".join(part.split(">")[-1] for part in line.split("<")[1:]) for line in blocks
    )
    assert [p.text for p in pieces(tmp_path, text, "talk.srt") if p.text] == [row[2] for row in found if row[2]]


def test_captions_for_the_eye_become_what_is_said(tmp_path):
    found = [(p.start, p.text, p.reason) for p in pieces(tmp_path, MANUAL)]
    assert found == [
        (1.0, "No.", ""),
        (2.5, "No. Yes, -5 degrees.", ""),  # somebody said it twice: captions by hand do not roll
        (4.5, "", "lyrics"),
        (6.0, "", "no words"),
        (7.0, "", "censored"),
    ]


def test_subrip_with_mistakes_keeps_what_is_right(tmp_path):
    captions = read_captions(write_text(tmp_path / "a.srt", SUBRIP.replace("\n", "\r\n")))
    assert [p.text for p in spoken_pieces(captions.cues)] == ["Guten Tag.", "Wie geht es dir?", "ja < nein"]
    assert [(p.reason, p.where.rpartition(":")[2]) for p in captions.problems] == [
        ("bad times", "11"),
        ("caption without times", "14"),
    ]


def test_encodings(tmp_path):
    times = "00:00:01.000 --> 00:00:02.000\n"
    utf16 = write_text(tmp_path / "a.srt", ("\ufeff1\n" + times + "größe\n").encode("utf-16-le"))
    assert spoken_pieces(read_captions(utf16).cues)[0].text == "größe"
    latin = write_text(tmp_path / "b.srt", f"1\n{times}größe\n\n2\n{times}gut\n".encode("latin-1"))
    captions = read_captions(latin)
    assert [p.text for p in spoken_pieces(captions.cues)] == ["gut"]
    assert [p.reason for p in captions.problems] == ["not UTF-8"]
    with pytest.raises(UserError, match="no caption in it"):
        read_captions(write_text(tmp_path / "c.vtt", "WEBVTT\n\n"))


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (">> Ann Lee: hello >> hi", "hello hi"),
        ("\u2013Bonjour", "Bonjour"),
        ("a <b>bold</b> 3 < 4", "a bold 3 < 4"),
        ("(laughs) *sighs* \uff08笑\uff09 well", "well"),
        ("e\u0301te\u0301", "été"),
        ("...", ""),
    ],
)
def test_lines(raw, said):
    assert clean_line(raw) == said


def cues(count: int, seconds: float = 2.0, words: str = "these are words number", gap: float = 0.0) -> str:
    """A WebVTT file of cues that follow each other."""
    lines = ["WEBVTT\n"]
    for number in range(count):
        start = number * (seconds + gap)
        lines.append(f"00:00:{start:06.3f} --> 00:00:{start + seconds:06.3f}\n{words} {number}.\n")
    return "\n".join(lines)


def videos(folder: Path, count: int = 4) -> Path:
    """A folder of recordings named as yt-dlp names them."""
    for number in range(count):
        name = f"A talk, part {number} [id{number}]"
        write_audio(folder / f"{name}.wav", 8.0, number)
        write_text(folder / f"{name}.en.vtt", cues(4))
    return folder


OPTIONS = "--dev_share 0.25 --test_share 0.25 --max_seconds 4"


def test_all_stages(recipes, tmp_path):
    corpus = videos(tmp_path / "videos")
    work = recipes.run("youtube", tmp_path, YOUTUBE=corpus, options=("--local_data_opts", OPTIONS))
    (wer,) = [row for row in work.scores() if row["metric"] == "wer"]
    assert (wer["language"], wer["count"]) == ("en", 4)  # a sentence's end after half of the longest segment


def test_segments_languages_and_sets(tmp_path):
    corpus = videos(tmp_path / "videos")
    write_audio(corpus / "more/vortrag.flac", 8.0)
    write_text(corpus / "more/vortrag.de-orig.vtt", cues(2, 1.0, "guten", gap=1.0))
    write_text(corpus / "more/vortrag.en.vtt", cues(2))
    write_audio(corpus / "silent.wav", 2.0)
    work = prepare("youtube", tmp_path, corpus, OPTIONS.replace("4", "8"))
    rows = {utt: row for name in work.sets for utt, row in work.rows(name).items()}
    german = [row for row in rows.values() if row.language == "de"]
    assert [(row.audio.start, row.audio.stop, row.text) for row in german] == [(0, 1, "guten 0."), (2, 3, "guten 1.")]
    assert "German" in german[0].prompt or "german" in german[0].prompt
    english = rows["A_talk_part_0_id0_-0000000-0000400"]
    assert english.text == "these are words number 0. these are words number 1." and english.audio.stop == 4
    speakers = [{row.speaker for row in work.rows(name).values()} for name in work.sets]
    assert len(speakers) == 3 and not set.intersection(*speakers)
    assert set(work.left_out("train")) == {"further captions", "recording without captions"}


def test_bad_recordings_and_captions_are_left_out(tmp_path):
    corpus = videos(tmp_path / "videos", 6)
    write_text(corpus / "lost.en.vtt", cues(1))
    names = [f"A talk, part {number} [id{number}]" for number in range(6)]
    write_text(corpus / f"{names[0]}.wav", b"")
    write_text(corpus / f"{names[1]}.en.vtt", cues(4, 3.0))  # the last captions are past the end
    write_text(corpus / f"{names[2]}.en.vtt", "nothing at all")
    (corpus / f"{names[3]}.en.vtt").rename(corpus / f"{names[3]}.xx.vtt")
    write_text(corpus / f"{names[4]}.en.vtt", cues(3, 2.0, "far too many words for the time " * 9))
    for number in range(3):
        write_audio(corpus / f"both{number}.wav", 4.0, number)
        write_text(corpus / f"both{number}.vtt", cues(2).replace("WEBVTT", "WEBVTT\nLanguage: es"))
    write_audio(corpus / "two.wav", 4.0)
    for language in ("de", "fr"):
        write_text(corpus / f"two.{language}.vtt", cues(2))
    options = f"{OPTIONS} --max_failed 0.99"
    work = prepare("youtube", tmp_path, corpus, options)
    reasons = {}
    for name in work.sets:
        for reason, ids in work.left_out(name).items():
            reasons[reason] = reasons.get(reason, 0) + len(ids)
    assert reasons == {
        "captions without recording": 1,
        "unreadable audio": 4,
        "segment past the end": 2,
        "caption without times": 1,
        "unknown language": 1,
        "more than 30 characters a second": 3,
        "several languages": 1,
    }
    assert "--language" in work.output
    rows = [row for name in work.sets for row in work.rows(name).values()]
    assert {row.language for row in rows} == {"en", "es"}


def test_other_containers_are_converted_once(tmp_path, monkeypatch):
    corpus = videos(tmp_path / "videos")
    first = next(corpus.glob("*.wav"))
    first.rename(first.with_suffix(".mp4"))
    # stands in for ffmpeg: input and output are where ffmpeg's are, and what is in the file is a recording already
    program = f'#!/bin/sh\necho x >>{tmp_path}/calls\nfor last; do :; done\ncp "$6" "$last"\n'
    write_text(tmp_path / "bin/ffmpeg", program).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin", prepend=":")
    for _ in range(2):
        work = prepare("youtube", tmp_path, corpus, OPTIONS)
    assert (tmp_path / "calls").read_text() == "x\n"
    paths = {row.audio.path for name in work.sets for row in work.rows(name).values()}
    assert str(tmp_path / f"dump/audio/converted/{first.stem}.mp4.flac") in paths and len(paths) == 4
    write_text(tmp_path / "bin/ffmpeg", "#!/bin/sh\necho broken file >&2\nexit 1\n")
    work = prepare("youtube", tmp_path / "again", corpus, f"{OPTIONS} --max_failed 0.99", check=False)
    assert "ffmpeg says: broken file" in work.output


def test_a_single_recording_is_split_by_time(tmp_path):
    write_audio(tmp_path / "videos/lecture.wav", 480.0, rate=8000)
    lines = ["WEBVTT\n"]
    for start in range(0, 480, 40):
        lines.append(f"{start // 60:02d}:{start % 60:02d}.000 --> {start // 60:02d}:{start % 60 + 5:02d}.000\nwords\n")
    write_text(tmp_path / "videos/lecture.en.vtt", "\n".join(lines))
    work = prepare("youtube", tmp_path, tmp_path / "videos")
    assert {name: len(work.rows(name)) for name in work.sets} == {"dev": 3, "test": 3, "train": 6}
