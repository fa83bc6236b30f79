"""The mini recipe, shrunken, through all its stages: what a user gets from `./run.sh`, and what a second run does."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

TESTS = "test_clean test_snr0 test_names"
SIZES = "--train 48 --train_spanish 8 --dev 10 --test 8 --names 8"
TRAINING = "--max_epoch 1 --num_iters_per_epoch 4 --model_conf ctc_only_steps=2"


def run(recipe: Path, folder: Path, *options: str) -> str:
    """run.sh with everything it writes in `folder`; returns what it printed."""
    command = [
        "./run.sh", "--datadir", f"{folder}/data", "--dumpdir", f"{folder}/dump", "--expdir", f"{folder}/exp",
        "--test_sets", TESTS, "--local_data_opts", SIZES, "--slm_args", TRAINING, "--slm_tag", "small", *options,
    ]  # fmt: skip
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, cwd=recipe, env=environment, text=True, capture_output=True)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def recipe(top: Path) -> Path:
    """The recipe's folder; the test is left out where the shell tools it needs are missing."""
    if shutil.which("bash") is None:
        pytest.skip("bash is not there")
    return top / "egs2/mini/slm1"


@pytest.fixture(scope="module")
def finished(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder after stages 1 to 6."""
    folder = tmp_path_factory.mktemp("mini")
    run(recipe, folder)
    return folder


def scores(folder: Path) -> list[dict]:
    return json.loads((folder / "exp/slm_small/results.json").read_text(encoding="utf-8"))


def test_every_task_is_scored_between_its_bounds(finished: Path) -> None:
    rows = scores(finished)
    assert {row["set"] for row in rows} == set(TESTS.split())
    mains = [row for row in rows if row["set"] == "test_clean" and row["metric"] in ("wer", "bleu", "accuracy")]
    clean = {row["task"]: row for row in mains}
    assert set(clean) == {"asr", "ast", "qa", "dialog", "category", "continuation"}
    assert [task for task, row in clean.items() if row["seen"]] == ["asr"]
    # the shipped language model, given the true words, must know the answers
    assert clean["asr"]["bound"] < 5
    assert clean["qa"]["bound"] >= 0.8 and clean["dialog"]["bound"] >= 0.8
    assert clean["asr"]["count"] == 8


def test_shipped_encoder_recognizes(finished: Path) -> None:
    wer = {row["set"]: row["value"] for row in scores(finished) if row["metric"] == "ctc_wer" and row["task"] == "asr"}
    assert wer["test_clean"] < 25
    assert wer["test_clean"] <= wer["test_snr0"]


def test_every_utterance_comes_out(finished: Path) -> None:
    for name in TESTS.split():
        asked = [line.split(maxsplit=1)[0] for line in (finished / "data" / name / "text").open(encoding="utf-8")]
        for folder in finished.glob(f"exp/*/*/{name}"):
            if (folder / "text").exists():
                answered = [line.split(maxsplit=1)[0] for line in (folder / "text").open(encoding="utf-8")]
                assert answered == asked, folder


def test_only_the_adapter_is_saved(finished: Path) -> None:
    from safetensors import safe_open

    with safe_open(finished / "exp/slm_small/adapter.safetensors", "pt") as file:
        assert all(key.startswith("adapter.") for key in file.keys())  # noqa: SIM118  # not a dict


def test_second_run_does_nothing_again(recipe: Path, finished: Path) -> None:
    def stamps() -> dict[Path, int]:
        kept = [*finished.glob("dump/encodings/mini/*/*"), finished / "exp/slm_small/adapter.safetensors"]
        return {path: path.stat().st_mtime_ns for path in kept if path.suffix != ".log"}

    before, results = stamps(), scores(finished)
    run(recipe, finished)
    assert stamps() == before
    assert scores(finished) == results


def test_decoding_from_audio_equals_decoding_from_encodings(top: Path, finished: Path) -> None:
    output = finished / "from_audio"
    subprocess.run(
        ["python", "-m", "slm_espnet.bin.decode", "--data_dir", str(finished / "data/test_clean"), "--foundation",
         str(top / "conf/foundation/mini.yaml"), "--model_dir", str(finished / "exp/slm_small"), "--input", "speech",
         "--config", str(top / "egs2/mini/slm1/conf/decode.yaml"), "--output_dir", str(output)],
        check=True, env={**os.environ, "PYTHONPATH": str(top)},
    )  # fmt: skip
    cached = (finished / "exp/slm_small/decode_default/test_clean/text").read_text(encoding="utf-8")
    assert (output / "text").read_text(encoding="utf-8") == cached
