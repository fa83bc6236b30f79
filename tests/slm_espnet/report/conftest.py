"""A made-up experiment that was trained and decoded: every section of its page has something to show."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import yaml

from slm_espnet.bin import score

HOSTILE = "<script>alert(1)</script>"
WORDS = "one two three four five six seven eight nine ten eleven twelve".split()
RESULTS_LINE = (
    "[box] 2026-01-01 12:00:00,000 (trainer:370) INFO: {epoch}epoch results: [train] iter_time=0.001, "
    "loss={train:.3f}, "
    "loss_ce={train:.3f}, loss_ctc=2.5, acc=0.512, grad_norm=1.500e+03, optim0_lr0=2.000e-04, train_time=0.5, "
    "time=12.31 seconds, total_count=40, [valid] loss={valid:.3f}, loss_ce={valid:.3f}, loss_ce_shuffled=4.5, "
    "loss_ce_empty=nan, norm_ratio=0.981, acc=0.623, time=2.5 seconds, total_count=4, gpu_max_cached_mem_GB=1.5\n"
)


def write_lines(path: Path, lines) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def write_columns(directory: Path, columns: dict[str, dict[str, str]]) -> None:
    for name, values in columns.items():
        write_lines(directory / name, (f"{utt_id} {value}" for utt_id, value in sorted(values.items())))


@pytest.fixture
def experiment(tmp_path, monkeypatch) -> SimpleNamespace:
    """Sixty recognized utterances of four speakers and twelve questions not trained on; some texts are hostile."""
    monkeypatch.chdir(tmp_path)
    asr = [f"spk{number % 4}-{number:03d}-asr" for number in range(60)]
    qa = [f"spk{number % 4}-{number:03d}-qa" for number in range(12)]
    text = {utt_id: " ".join(WORDS[: 2 + number % 10]) for number, utt_id in enumerate(asr)}
    text |= {utt_id: WORDS[number] for number, utt_id in enumerate(qa)}
    audio = Path("audio")
    audio.mkdir()
    for number in range(60):
        wave = 0.1 * np.sin(np.arange(16000) * 0.1 * (1 + number / 60))
        soundfile.write(audio / f"{number:03d}.wav", wave.astype(np.float32), 16000)
    columns = {
        "wav.scp": {utt_id: f"audio/{utt_id.split('-')[1]}.wav" for utt_id in text},
        "text": text,
        "prompt": {utt_id: f"Do it {HOSTILE}" for utt_id in text},
        "utt2spk": {utt_id: utt_id.split("-")[0] for utt_id in text},
        "utt2task": {utt_id: utt_id.split("-")[2] for utt_id in text},
        "utt2lang": dict.fromkeys(text, "en"),
        "context": {utt_id: json.dumps(["two", f"x{HOSTILE}"]) for utt_id in asr},
    }
    write_columns(Path("data/test"), columns)
    wrong = dict(text)
    wrong[asr[9]] = f"one zwei {HOSTILE} four five six seven eight nine ten eleven"
    wrong[asr[8]] = "one three four five six seven eight nine nine ten"
    wrong[qa[0]] = HOSTILE
    hypotheses = {"exp/slm_a_seed3/decode_greedy": wrong, "exp/ctc": {**text, asr[1]: "one"}, "exp/true": text}
    for directory, texts in hypotheses.items():
        write_columns(Path(directory, "test"), {"text": texts})
    flags = ({"utt_id": utt_id, "truncated": utt_id == asr[9], "looped": utt_id == qa[0]} for utt_id in sorted(text))
    write_lines(Path("exp/slm_a_seed3/decode_greedy/test/hypotheses.jsonl"), map(json.dumps, flags))
    wording = {"normalizer": "none", "prompts": {"default": ["do"]}, "eval_prompt": {"default": "do"}}
    tasks = {"asr": {**wording, "scorer": "wer"}, "qa": {**wording, "scorer": "accuracy"}}
    Path("tasks.yaml").write_text(yaml.safe_dump({"tasks": tasks}))
    write_lines(Path("exp/stats/train/left_out.tsv"), ["utt7\tspeech is too long"])
    config = {"seed": 3, "trained_tasks": ["asr"], "train_shape_file": ["exp/stats/train/speech_shape"]}
    Path("exp/slm_a_seed3/config.yaml").write_text(yaml.safe_dump(config))
    log = [RESULTS_LINE.format(epoch=epoch, train=4 / epoch, valid=3 / epoch) for epoch in (1, 2, 3)]
    Path("exp/slm_a_seed3/train.log").write_text("".join(log))
    options = "--exp_dir exp/slm_a_seed3 --inference_tag greedy --test_sets test --tasks_config tasks.yaml"
    bounds = "--cascade_dir exp/ctc --bound_dir exp/true"
    directory = Path("exp/slm_a_seed3/decode_greedy")

    def make(*more: str, baselines: bool = True) -> str:
        """Score, and return the page."""
        assert score.main([*options.split(), *(bounds.split() if baselines else ()), *more]) == 0
        return (directory / "report.html").read_text(encoding="utf-8")

    recordings = sorted(audio.iterdir())
    return SimpleNamespace(make=make, directory=directory, data=Path("data/test"), recordings=recordings)
