"""Options of the API: those of a recipe's decoding, less those that mean nothing to a call."""

import pytest

from slm_espnet.api.settings import InferenceSettings, read_settings
from slm_espnet.errors import UserError


def test_options_of_drafts_are_taken_from_a_file_and_from_a_call(tmp_path):
    path = tmp_path / "inference.yaml"
    path.write_text("ctc_draft: accept\nctc_draft_entropy: 0.2\nnum_jobs: 4\n")
    search = read_settings(path).changed({"ctc_draft_source": "encoder"}).search
    assert (search.ctc_draft, search.ctc_draft_entropy, search.ctc_draft_source) == ("accept", 0.2, "encoder")
    assert InferenceSettings().search.ctc_draft == "exact"
    with pytest.raises(UserError, match="options of the search: ctc_draft must be one of none, exact, accept"):
        InferenceSettings().changed({"ctc_draft": "often"})
