"""Tables written by pandas hold `nan` for a missing time: such rows are named with file and line, the rest is kept.

Comparisons with NaN are false, so `stop <= start` let it through, and a later stage ended in a traceback.
"""

import pytest

from slm_espnet.data.lhotse_bridge import bad_times
from slm_espnet.data.row_table import RowTable
from slm_espnet.data.validate import validate
from slm_espnet.errors import UserError


@pytest.mark.parametrize("start, stop", [("nan", "1"), ("0", "nan"), ("0", "inf"), ("inf", "inf"), ("-1", "2")])
def test_a_segment_without_times_is_left_out_by_line(tmp_path, start, stop):
    assert bad_times(start, stop)
    tables = {"wav.scp": "rec a.wav", "text": "a one\nb two", "segments": f"a rec {start} {stop}\nb rec 1 2"}
    for name, lines in tables.items():
        (tmp_path / name).write_text(f"{lines}\n", encoding="utf-8")
    report = validate(tmp_path, audio="none")
    assert (report.kept, report.left_out) == (1, {"bad segment": 1})
    (problem,) = report.examples["bad segment"]
    assert str(problem.where).endswith("segments:1")
    with pytest.raises(UserError, match="segments:1.*no part of a recording"):
        list(RowTable(tmp_path))
