"""Language codes of multilingual corpora."""

from __future__ import annotations

import pytest

from slm_espnet.data.multilingual import iso_code
from slm_espnet.tasks.languages import language_name


@pytest.mark.parametrize(
    ("code", "expected"),
    [("de", "de"), ("sv-SE", "sv"), ("zh-CN", "zh"), ("zh-HK", "yue"), ("cmn_hans_cn", "zh"), ("yue_hant_hk", "yue"),
     ("es_419", "es"), ("nb_no", "nb"), ("fil_ph", "fil"), ("rm-sursilv", "rm")],
)  # fmt: skip
def test_codes_of_publishers(code, expected):
    assert iso_code(code) == expected
    assert language_name(expected)
