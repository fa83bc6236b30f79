"""Options of the API: those of a recipe's decoding, less those that mean nothing to a call."""

import pytest

from slm_espnet.api.settings import InferenceSettings, read_settings
from slm_espnet.errors import UserError


def test_drafts_of_a_decoding_run_are_left_aside_and_refused_where_they_are_asked_for(tmp_path):
    path = tmp_path / "inference.yaml"
    path.write_text("beam_size: 3\nctc_draft: accept\nctc_draft_entropy: 0.2\n")
    assert read_settings(path).search.beam_size == 3
    with pytest.raises(UserError, match="unknown option.*ctc_draft"):
        InferenceSettings().changed({"ctc_draft": "accept"})
