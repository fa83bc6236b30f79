"""Output of jobs: killed anywhere and resumed, joined in order, nothing lost, nothing mixed."""

import json
import os

import pytest

from slm_espnet.decoding.merging import merge
from slm_espnet.decoding.results import JobWriter, is_merged, remove_results
from slm_espnet.decoding.types import Hypothesis
from slm_espnet.errors import UserError

SETTINGS = {"input": "speech", "options": {"beam_size": 1}}


def hypothesis(text, **flags):
    return Hypothesis(text, (4, 5), (-0.25, -0.5, -0.125), -0.875, **flags)


def job_settings(num_jobs):
    return {**SETTINGS, "num_jobs": num_jobs}


def test_jobs_are_joined_in_order_of_utterances(tmp_path):
    with JobWriter(tmp_path, 1, job_settings(2)) as writer:
        writer.add([("u3", hypothesis("three\nlines \u2028 here", truncated=True))])
        writer.add([("u1", hypothesis("señor", from_ctc=True))])
        writer.finish({"u5": "no encoding"})
    with pytest.raises(UserError, match=r"job\(s\) 2 of 2 are not done"):
        merge(tmp_path, 2, ["u1", "u2", "u3", "u5"], SETTINGS)
    with JobWriter(tmp_path, 2, job_settings(2)) as writer:
        writer.add([("u2", hypothesis("", looped=True, passes=2, draft_tokens=5, draft_accepted=4))])
        writer.finish({})
    with pytest.raises(UserError, match="1 utterance.*u4"):
        merge(tmp_path, 2, ["u1", "u2", "u3", "u4", "u5"], SETTINGS)
    assert not is_merged(tmp_path, SETTINGS)
    summary = merge(tmp_path, 2, ["u1", "u2", "u3", "u5"], SETTINGS)
    assert summary == {
        "utterances": 4, "decoded": 3, "left_out": {"no encoding": 1}, "truncated": 1, "looped": 1, "silent": 0,
        "tokens": 6, "passes": 2, "draft_tokens": 5, "draft_accepted": 4, "from_ctc": 1,
    }  # fmt: skip
    assert (tmp_path / "text").read_text(encoding="utf-8") == "u1 señor\nu2\nu3 three lines here\n"
    assert (tmp_path / "score").read_text() == "u1 -0.875000\nu2 -0.875000\nu3 -0.875000\n"
    assert (tmp_path / "left_out.tsv").read_text() == "u5\tno encoding\n"
    lines = [json.loads(line) for line in (tmp_path / "hypotheses.jsonl").read_bytes().splitlines()]
    assert [line["utt_id"] for line in lines] == ["u1", "u2", "u3"]
    assert lines[2]["text"] == "three\nlines \u2028 here" and lines[0]["token_log_probs"] == [-0.25, -0.5, -0.125]
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    names = {"text", "score", "left_out.tsv", "hypotheses.jsonl", "summary.json", "settings.json"}
    assert {path.name for path in tmp_path.iterdir()} == names
    assert is_merged(tmp_path, SETTINGS)


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_a_killed_job_goes_on_after_its_last_whole_line(tmp_path, cut):
    with JobWriter(tmp_path, 1, job_settings(1)) as writer:
        writer.add([("u1", hypothesis("one")), ("u2", hypothesis("two"))])
    path = tmp_path / "hypotheses.1.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    with JobWriter(tmp_path, 1, job_settings(1)) as writer:
        assert writer.finished == {"u1"}
        writer.add([("u2", hypothesis("two"))])
        writer.finish({})
    assert path.read_bytes() == whole
    merge(tmp_path, 1, ["u1", "u2"], SETTINGS)
    assert (tmp_path / "text").read_text() == "u1 one\nu2 two\n"


def test_other_settings_are_refused_until_overwritten(tmp_path):
    other = {**SETTINGS, "options": {"beam_size": 4}}
    with JobWriter(tmp_path, 1, job_settings(1)) as writer:
        writer.finish({"u1": "no encoding"})
    with pytest.raises(UserError, match=r"\(options\.beam_size: 1 there, 4 now\).*--overwrite"):
        JobWriter(tmp_path, 1, {**other, "num_jobs": 1})
    merge(tmp_path, 1, ["u1"], SETTINGS)
    with pytest.raises(UserError, match="other settings"):
        is_merged(tmp_path, other)
    remove_results(tmp_path)
    assert not is_merged(tmp_path, other) and not list(tmp_path.iterdir())


def test_two_processes_cannot_write_one_job(tmp_path):
    with JobWriter(tmp_path, 1, job_settings(1)):
        with pytest.raises(UserError, match="another process"):
            JobWriter(tmp_path, 1, job_settings(1))
    with JobWriter(tmp_path, 1, job_settings(1)):
        pass


def test_a_full_disk_is_one_clear_message(tmp_path):
    with JobWriter(tmp_path, 1, job_settings(1)) as writer, open("/dev/full", "wb") as full:
        os.dup2(full.fileno(), writer._file.fileno())
        with pytest.raises(UserError, match="No space left.*make room"):
            writer.add([("u1", hypothesis("one"))])
