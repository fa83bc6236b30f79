"""A real pair on real speech: Whisper base and SmolLM2-135M-Instruct, stages 1 to 6 on 60 recordings of one speaker.

    SLM_REAL_WEIGHTS=/folder/with/both python -m pytest -m real

The folder holds `whisper-base` and `smollm2-135m-instruct` as Hugging Face saves them. The speech is kathleen_arctic
(manifest.tsv, audio/) in `data` of the folder SLM_SHARED, else of `../shared`. Where either is missing, these tests are
skipped. They take about ten minutes on two cores.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.real

MODELS = ("whisper-base", "smollm2-135m-instruct")
TRAIN, DEV, TEST = 40, 8, 12  # recordings
TRAINING = (
    "--max_epoch 1 --num_iters_per_epoch 60 --batch_size 4 --keep_nbest_models 1 --model_conf ctc_only_steps=30 "
    "--model_conf diagnostic_batches=1"
)
FOUNDATION = """\
speech_encoder: hf_encoder
speech_encoder_conf: {{model: {weights}/whisper-base, dtype: float32, window_seconds: 10}}
length_reduction: stack
length_reduction_conf: {{factor: 4}}
llm: hf_causal
llm_conf: {{model: {weights}/smollm2-135m-instruct, dtype: float32}}
prompt_conf: {{chat: true, order: [instruction, context, speech]}}
"""


@dataclass(frozen=True)
class Run:
    """What stages 1 to 6 left behind."""

    top: Path  # the toolkit
    folder: Path  # data, dump and exp
    foundation: Path  # the YAML

    @property
    def model(self) -> Path:
        """The trained adapter's directory."""
        return self.folder / "exp/slm_small"

    def decode(self, name: str, *options: str, audio: bool = False) -> dict[str, str]:
        """Answers to the test set, by utterance, with other options of the decoding."""
        output = self.folder / name
        encodings = [] if audio else ["--encodings_dir", str(self.folder / "dump/encodings/pair/test")]
        command = [
            "python", "-m", "slm_espnet.bin.decode", "--data_dir", str(self.folder / "data/test"), *encodings,
            "--foundation", str(self.foundation), "--model_dir", str(self.model), "--output_dir", str(output),
            "--max_length", "40", "--num_threads", "2", *options,
        ]  # fmt: skip
        done = subprocess.run(command, text=True, capture_output=True)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return texts(output / "text")


def texts(file: Path) -> dict[str, str]:
    """Utterance → text."""
    rows = (line.rstrip("\n").partition(" ") for line in file.open(encoding="utf-8"))
    return {utt_id: text for utt_id, _, text in rows}


@pytest.fixture(scope="session")
def weights() -> Path:
    """The folder of both models."""
    folder = Path(os.environ.get("SLM_REAL_WEIGHTS", "no folder"))
    missing = [name for name in MODELS if not (folder / name / "config.json").is_file()]
    if missing:
        pytest.skip(f"SLM_REAL_WEIGHTS names no folder with {' and '.join(missing)}")
    return folder.resolve()


@pytest.fixture(scope="session")
def speech(top: Path) -> Path:
    """The folder of the recordings."""
    folder = Path(os.environ.get("SLM_SHARED", top.parent / "shared")) / "data/kathleen_arctic"
    if not (folder / "manifest.tsv").is_file():
        pytest.skip(f"{folder} is not there: set SLM_SHARED to the folder that holds data/kathleen_arctic")
    return folder.resolve()


@pytest.fixture(scope="session")
def run(top: Path, weights: Path, speech: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Stages 1 to 6 of the recipe for one's own recordings."""
    folder = tmp_path_factory.mktemp("real")
    corpus = folder / "corpus"
    corpus.mkdir()
    (corpus / "audio").symlink_to(speech / "audio")
    with (speech / "manifest.tsv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[: TRAIN + DEV + TEST]
    sets = ["train"] * TRAIN + ["dev"] * DEV + ["test"] * TEST
    lines = [f"{row['audio']}\t{row['text']}\t{name}" for row, name in zip(rows, sets, strict=True)]
    (corpus / "data.tsv").write_text("\n".join(["audio\ttext\tset", *lines]) + "\n", encoding="utf-8")
    foundation = folder / "pair.yaml"
    foundation.write_text(FOUNDATION.format(weights=weights), encoding="utf-8")
    command = [
        "./run.sh", "--datadir", f"{folder}/data", "--dumpdir", f"{folder}/dump", "--expdir", f"{folder}/exp",
        "--foundation", str(foundation), "--slm_tag", "small", "--slm_args", TRAINING, "--baselines", "transcript",
        "--local_data_opts", "--normalize none", "--inference_args", "--max_length 40", "--inference_tag", "small",
        "--train_num_threads", "2",
    ]  # fmt: skip
    environment = {**os.environ, "OWN_DATA": str(corpus)}
    done = subprocess.run(command, cwd=top / "egs2/own_data/slm1", env=environment, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return Run(top, folder, foundation)


def test_every_recording_is_answered_and_scored(run: Run) -> None:
    asked = texts(run.folder / "data/test/text")
    assert len(asked) == TEST
    assert texts(run.model / "decode_small/test/text").keys() == asked.keys()
    scores = {row["metric"]: row for row in json.loads((run.model / "results.json").read_text(encoding="utf-8"))}
    assert scores["wer"]["count"] == TEST


def test_the_models_stay_what_they_were(run: Run, weights: Path) -> None:
    """The identities that training and encoding noted are those of the files."""
    import yaml

    from slm_espnet.weights import file_sha256

    config = yaml.safe_load((run.model / "config.yaml").read_text(encoding="utf-8"))
    assert config["llm_identity"]["weights_sha256"] == file_sha256(weights / "smollm2-135m-instruct/model.safetensors")
    encoder = config["encoding_fingerprint"]["encoder"]
    assert encoder["weights_sha256"] == file_sha256(weights / "whisper-base/model.safetensors")


def test_all_ways_of_decoding_agree(run: Run) -> None:
    batched = run.decode("batched")
    assert run.decode("single", "--batch_size", "1") == batched
    assert run.decode("without_drafts", "--ctc_draft", "none") == batched
    assert run.decode("from_audio", audio=True) == batched
    assert any(batched.values())


def test_beams_do_not_depend_on_the_batch(run: Run) -> None:
    assert run.decode("beam", "--beam_size", "3") == run.decode("beam_single", "--beam_size", "3", "--batch_size", "3")


def test_text_in_place_of_speech_is_the_untouched_model(run: Run, weights: Path) -> None:
    """The bound's answers are those of transformers' own `generate` for the prompt written out as a person would."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = weights / "smollm2-135m-instruct"
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    model = model.float().eval()
    transcripts, prompts = texts(run.folder / "data/test/text"), texts(run.folder / "data/test/prompt")
    limits = "--max_length_ratio", "0", "--loop_repeats", "0"  # as generate: recognition has a bound of its own
    answers = run.decode("bound", "--input", "transcript", *limits)
    for utt_id, transcript in transcripts.items():
        user = {"role": "user", "content": f"{prompts[utt_id]}\n{transcript}"}
        asked = tokenizer.apply_chat_template([user], add_generation_prompt=True, return_tensors="pt", return_dict=True)
        with torch.no_grad():
            found = model.generate(**asked, max_new_tokens=40, do_sample=False, num_beams=1)
        own = tokenizer.decode(found[0, asked["input_ids"].size(1) :], skip_special_tokens=True).strip()
        assert " ".join(answers[utt_id].split()) == " ".join(own.split())
