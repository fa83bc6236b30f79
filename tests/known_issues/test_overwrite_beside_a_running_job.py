"""A second job started with --overwrite true removed what the first one was writing before it was refused."""

import pytest

from slm_espnet.decoding.results import JobWriter
from slm_espnet.decoding.types import Hypothesis
from slm_espnet.errors import UserError


def test_the_running_job_loses_nothing(tmp_path):
    with JobWriter(tmp_path, 1, {"num_jobs": 1}) as writer:
        writer.add([("u1", Hypothesis("one", (4,), (-0.5,), -0.5))])
        before = (tmp_path / "hypotheses.1.jsonl").read_bytes()
        with pytest.raises(UserError, match="another process"):
            JobWriter(tmp_path, 1, {"num_jobs": 1, "other": True}, overwrite=True)
        assert before and (tmp_path / "hypotheses.1.jsonl").read_bytes() == before
