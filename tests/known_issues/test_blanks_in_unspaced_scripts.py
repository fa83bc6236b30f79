"""English words within Chinese, Japanese and Thai texts keep their blanks when pieces are put together."""

import pytest

from slm_espnet.long_audio.cutting import Piece
from slm_espnet.long_audio.merging import divide_texts, merge_texts

CHINESE = "我们今天讨论了很多关于 machine learning 的问题大家都觉得很有意思"


@pytest.mark.parametrize("text", [CHINESE, "New York の話をしました", "ฉันชอบ  machine learning มาก", "a  b"])
def test_the_text_of_one_piece_is_untouched(text):
    assert merge_texts([Piece(0, 20)], [text]) == text


def test_blanks_stay_and_letters_at_the_seam_decide_about_one_there():
    pieces = [Piece(0, 10), Piece(10, 20), Piece(20, 30)]
    texts = ["我们讨论 machine learning", "的问题", "大家 like it。很好"]
    assert divide_texts(pieces, texts) == texts
    assert merge_texts(pieces, texts) == "我们讨论 machine learning 的问题大家 like it。很好"
    assert merge_texts(pieces[:2], ["我们讨论了", "。然后呢大家"]) == "我们讨论了。然后呢大家"
    assert merge_texts(pieces[:2], ["오늘은 회의를", "했습니다"]) == "오늘은 회의를 했습니다"


def test_what_both_pieces_heard_is_written_once():
    pieces = [Piece(0, 10, 0), Piece(7, 17, 3)]
    left, right = "我们今天讨论了 machine learning", "machine learning 的问题大家觉得很有意思"
    assert merge_texts(pieces, [left, right]) == "我们今天讨论了 machine learning 的问题大家觉得很有意思"
