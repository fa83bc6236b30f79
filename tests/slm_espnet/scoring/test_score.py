"""The scoring command, from files to results."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from slm_espnet.bin import score
from slm_espnet.data.datadir import read_data_dir
from slm_espnet.errors import UserError
from slm_espnet.scoring import inputs


def run(experiment, *more):
    assert score.main([*experiment.options, *more]) == 0
    rows = json.loads((experiment.exp_dir / "results.json").read_text(encoding="utf-8"))
    return {(r["task"], r["language"], r["metric"]): r for r in rows}


def test_every_task_stands_between_its_bounds(experiment):
    rows = run(experiment)
    wer = rows["asr", "en", "wer"]
    assert (wer["value"], wer["cascade"], wer["bound"]) == (25.0, 25.0, 0.0)
    assert (wer["set"], wer["count"], wer["seen"], wer["seed"]) == ("test", 2, True, 3)
    assert rows["asr", "es", "wer"]["value"] == 50.0  # languages are not mixed
    qa = rows["qa", "en", "accuracy"]
    assert (qa["value"], qa["cascade"], qa["bound"], qa["seen"]) == (1.0, 0.0, 1.0, False)
    bleu = rows["ast", "es", "bleu"]
    assert bleu["value"] == pytest.approx(100) and bleu["cascade"] < 10 and "version" in bleu["signature"]


def test_page_has_espnet_tables_and_marks_unseen_tasks(experiment):
    run(experiment, "--command", "./run.sh --stage 6")
    page = (experiment.exp_dir / "RESULTS.md").read_text(encoding="utf-8")
    assert page.startswith("# RESULTS\n## Environments\n- date: `")
    assert "- command: `./run.sh --stage 6`" in page and "- seed: `3`" in page and "espnet version" in page
    assert "|dataset|Snt|Wrd|Corr|Sub|Del|Ins|Err|S.Err|" in page
    assert "|decode_greedy/test/asr/en|2|4|75.0|25.0|0.0|0.0|25.0|50.0|" in page
    assert "|qa|en|**unseen**|accuracy|1.000" in page and "|asr|en|yes|wer ↓|25.0" in page
    assert "|test|slm|5|0 (0.0 %)|0 (0.0 %)|1 (20.0 %)|0 (0.0 %)|" in page
    speakers = json.loads((experiment.slm / "results_by_speaker.json").read_text(encoding="utf-8"))
    values = {(r["speaker"], r["task"], r["language"]): (r["count"], r["slm"], r["cascade"]) for r in speakers}
    assert values["ann", "asr", "en"] == (1, 0.0, pytest.approx(100 / 3))
    assert values["bob", "asr", "en"] == (1, 100.0, 0.0)


def test_missing_hypotheses_count_as_empty_and_are_reported(experiment, capsys):
    path = experiment.slm / "test" / "text"
    path.write_text("".join(line for line in path.read_text().splitlines(True) if not line.startswith("ann-1-asr")))
    (experiment.slm / "test" / "left_out.tsv").write_text("ann-1-asr\tno encoding\n")
    rows = run(experiment)
    assert rows["asr", "en", "wer"]["value"] == 100.0  # three deleted, one substituted, of four
    assert rows["asr", "en", "wer"]["count"] == 2
    assert "no hypothesis for 1 of 5 utterances" in capsys.readouterr().err
    assert "|test|slm|5|1 (20.0 %)|1 (20.0 %)|" in (experiment.exp_dir / "RESULTS.md").read_text(encoding="utf-8")


def test_eval_tasks_limit_what_is_scored(experiment):
    assert {task for task, _, _ in run(experiment, "--eval_tasks", "qa")} == {"qa"}
    for name in ("text", "wav.scp", "prompt", "utt2task"):
        (experiment.data.parent / "other").mkdir(exist_ok=True)
        line = next(line for line in (experiment.data / name).open(encoding="utf-8") if line.startswith("bob-1-asr"))
        (experiment.data.parent / "other" / name).write_text(line, encoding="utf-8")
    found = run(experiment, "--eval_tasks", "qa", "--test_sets", "other test")
    assert {row["set"] for row in found.values()} == {"test"}, "a set without such rows was not decoded"
    with pytest.raises(UserError, match="--eval_tasks qa: no rows of them in other"):
        score.main([*experiment.options, "--eval_tasks", "qa", "--test_sets", "other"])


def test_scoring_one_decoding_again_keeps_the_others(experiment):
    run(experiment)
    (experiment.exp_dir / "decode_beam" / "test").mkdir(parents=True)
    text = (experiment.bound / "test" / "text").read_text()
    (experiment.exp_dir / "decode_beam" / "test" / "text").write_text(text)
    options = [o if o != "greedy" else "beam" for o in experiment.options]
    for _ in range(2):
        score.main(options)
    rows = json.loads((experiment.exp_dir / "results.json").read_text(encoding="utf-8"))
    wer = {r["inference"]: r["value"] for r in rows if (r["task"], r["language"], r["metric"]) == ("asr", "en", "wer")}
    assert wer == {"greedy": 25.0, "beam": 0.0}
    assert len([r for r in rows if r["metric"] == "wer"]) == 4
    assert (experiment.exp_dir / "RESULTS.md").read_text(encoding="utf-8").count("## exp/slm_seed3 (decode_") == 2


def test_what_does_not_fit_together_is_refused(experiment):
    with open(experiment.slm / "test" / "text", "a", encoding="utf-8") as file:
        file.write("zoe-9 from elsewhere\n")
    with pytest.raises(UserError, match="such as zoe-9 are not in .*data/test"):
        score.main(experiment.options)
    (experiment.slm / "test" / "text").unlink()
    with pytest.raises(UserError, match="decode_greedy/test/text does not exist.*stage 5"):
        score.main(experiment.options)
    with pytest.raises(UserError, match="task 'asrr' is not in"):
        score.main([*experiment.options, "--train_tasks", "asrr"])
    with pytest.raises(UserError, match="'14a' is unknown|14a is unknown"):
        score.main([*experiment.options, "--bleu_tokenize", "14a"])


def test_which_tasks_were_trained_stands_beside_the_adapter(experiment, tmp_path):
    place = experiment.options.index("--train_tasks")
    del experiment.options[place : place + 2]
    with pytest.raises(UserError, match="config.yaml does not say which tasks.*give --train_tasks"):
        score.main(experiment.options)
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter/config.yaml").write_text("trained_tasks: [qa, unheard_of]\n", encoding="utf-8")
    rows = run(experiment, "--model_dir", str(tmp_path / "adapter"))
    assert {task: row["seen"] for (task, _, _), row in rows.items()} == {"asr": False, "qa": True, "ast": False}


def test_a_task_trained_on_the_llms_own_answers_is_seen_and_marked(experiment):
    place = experiment.options.index("--train_tasks")
    del experiment.options[place : place + 2]
    config = "trained_tasks: [qa]\nself_tasks: [asr, qa, repeat]\n"
    (experiment.exp_dir / "config.yaml").write_text(config, encoding="utf-8")
    rows = run(experiment)
    found = {task: (row["seen"], row["self"]) for (task, _, _), row in rows.items()}
    assert found == {"asr": (True, True), "qa": (True, False), "ast": (False, False)}
    page = (experiment.exp_dir / "RESULTS.md").read_text(encoding="utf-8")
    assert "|asr|en|self|wer" in page and "|qa|en|yes|" in page and "|**unseen**|bleu" in page
    assert "decode_greedy/test/asr/en (self)|" in page and ", asr en (self), WER" in page


def test_task_that_the_tasks_file_lacks(experiment):
    (experiment.data / "utt2task").write_text((experiment.data / "utt2task").read_text().replace(" qa", " quiz"))
    with pytest.raises(UserError, match="set test: task 'quiz' in utt2task is not in the tasks file"):
        score.main(experiment.options)


def test_help_is_quick():
    code = "import sys; sys.argv = ['score', '--help']\ntry:\n from slm_espnet.bin.score import main; main()\n"
    code += "except SystemExit:\n sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=False).returncode == 0


def test_ctc_greedy_text_comes_from_the_encodings(experiment, monkeypatch):
    key = {row.utt_id: row.audio.key for row in read_data_dir(experiment.data)}["ann-1-asr"]

    class Reader(dict):
        fingerprint = {"vocabulary": ["<blank>", "a"], "blank_id": 0}

        def ctc_hypothesis(self, key: str) -> str:
            return self[key]

    monkeypatch.setattr(inputs, "EncodingReader", lambda directory: Reader({key: "call water now"}))
    rows = run(experiment, "--encodings_dir", "encodings")
    assert rows["asr", "en", "ctc_wer"]["value"] == 50.0  # one substituted, and the recording without encoding deleted
    Reader.fingerprint = {"vocabulary": None, "blank_id": None}
    assert ("asr", "en", "ctc_wer") not in run(experiment, "--encodings_dir", "encodings")
