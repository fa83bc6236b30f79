"""Subtitles had cues of up to 25 s on one line, and cues that ended when they began (whisperX#175)."""

import re
import unicodedata

import pytest

from slm_espnet.api.results import Segment
from slm_espnet.long_audio.subtitles import Cue, Layout, cues_of

ENGLISH = (
    "Good evening, and welcome to the first of three talks on the history of the telephone. Tonight we begin with the "
    'telegraph: "What hath God wrought," as the first message said. It was sent in 1844 from Washington to Baltimore, '
    "and within twenty years wires went around the world, across mountains and under seas."
)
CHINESE = "我们今天讨论了很多关于 machine learning 的问题，大家都觉得很有意思。明天继续讨论其他的问题，比如深度学习。"
THAI = "วันนี้เราจะพูดถึงประวัติศาสตร์ของโทรศัพท์และการสื่อสารทางไกลในโลกสมัยใหม่"
SEGMENTS = [Segment(0.4, 20.4, ENGLISH), Segment(20.4, 34.0, CHINESE), Segment(34.0, 41.5, THAI)]


def width(line):
    seen = [letter for letter in line if unicodedata.category(letter) != "Mn"]  # marks above and below have no width
    return sum(2 if re.match(r"[\u3000-\u30ff\u4e00-\u9fff\uff00-\uffef]", letter) else 1 for letter in seen)


@pytest.mark.parametrize("layout", [Layout(), Layout(32, 1), Layout(60, 3)])
def test_cues_can_be_read_at_a_glance_and_lose_nothing(layout):
    cues = cues_of(SEGMENTS, layout)
    for cue in cues:
        assert len(cue.lines) <= layout.max_line_count
        assert all(0 < width(line) <= layout.max_line_width for line in cue.lines)
        assert 0.1 < cue.stop - cue.start <= layout.max_seconds + 1e-9
    assert all(before.stop <= after.start + 1e-9 for before, after in zip(cues, cues[1:], strict=False))
    said = "".join("".join(cue.lines) for cue in cues)
    assert re.sub(r"\s", "", said) == re.sub(r"\s", "", ENGLISH + CHINESE + THAI)
    assert cues[0].start == 0.4 and cues[-1].stop == pytest.approx(41.5)


def test_cues_end_with_sentences_and_clauses_where_they_can():
    said = "Call James on Monday. Then book a table for two, and tell Mary that we are late."
    cues = cues_of([Segment(0.0, 9.0, said)])
    assert [" ".join(cue.lines) for cue in cues] == [
        "Call James on Monday.",
        "Then book a table for two, and tell Mary that we are late.",
    ]
    assert cues[1].lines == ("Then book a table for two, and", "tell Mary that we are late."), "lines of like width"
    wide = cues_of([Segment(0.0, 9.0, CHINESE)])
    assert not any(line[0] in "，。" for cue in wide for line in cue.lines), "a mark begins no line"
    assert any("machine" in line for cue in wide for line in cue.lines), "words of other scripts stay whole"


def test_no_cue_ends_when_it_begins():
    times = [(0.0, 2.5, "one"), (2.5, 2.5, "two"), (2.5, 4.0, "three"), (9.0, 9.0, "four")]
    segments = [Segment(*one) for one in times]
    assert cues_of(segments) == [Cue(0.0, 2.5, ("one",)), Cue(2.5, 4.0, ("two three",)), Cue(9.0, 10.0, ("four",))]
    assert cues_of([Segment(1.0, 2.0, " ")]) == []
    word = "x" * 100
    assert [cue.lines for cue in cues_of([Segment(0.0, 30.0, word)])] == [(word,)]
