"""Write the card (README.md) of an exported encoder from its results and the log of its training.

    python local/card.py --model_dir ../foundations/encoder --results exp/encoder/results.json \
        --expdir exp/encoder --data_dir data
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import re
from datetime import datetime
from pathlib import Path

SET_NAMES = {
    "test_en": "English, clean",
    "test_en_snr20": "English, 20 dB",
    "test_en_snr10": "English, 10 dB",
    "test_en_snr5": "English, 5 dB",
    "test_en_snr0": "English, 0 dB",
    "test_es": "Spanish, clean",
    "test_rare": "English with names that no training speech has, clean",
    "test_dictation": "English spelling, numbers, dates, commands, clean",
    "dev_an4": "AN4, train speakers that were held back (real speech)",
}
_EPOCH_LINE = r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),\d+ .*?: (\d+)(?:/\d+)?epoch (started|results)"
CORPORA = {
    "train_synthetic": "espeak-ng speech of the mini corpus (made by this recipe)",
    "train_an4": "CMU AN4, two thirds of the train speakers, varied (free for any purpose)",
    "train_kathleen": "Kathleen, varied (CC0)",
    "train_lj": "LJ Speech, varied (public domain)",
}
CARD = """# Speech encoder of the mini corpus

A small CTC model for 16 kHz speech in English and Spanish, made to be frozen inside the mini recipe's speech and
language model. It knows synthetic voices and a little real speech; it is a test object, not a recognizer for the world.

| | |
|---|---|
| Model | ESPnet ASR, `encoder: conv`, {parameters:.2f} M parameters, float16 weights, float32 compute |
| Output | one frame per 30 ms; CTC over {tokens} characters and symbols, blank 0 |
| Command | `egs2/mini/asr1/run.sh --stage 1 --stop_stage 3` with the corpora below, seed {seed} |
| Training | two cycles, together {steps} steps of about {batch_seconds:.0f} s, {minutes:.0f} minutes |
| Hardware | {cpu}, shared with other work |
| Read it with | `slm_espnet.asr.task.ASRTask.build_model` on config.yaml, then a strict load of model.safetensors |

## Training speech

| corpus | utterances | hours |
|---|---|---|
{corpora}

Varied: copies at other speeds and levels, half of them with noise. Four of five synthetic voices are drawn at random
(`mini_corpus.voices`). Sentences that `mini_corpus.split` holds out, and the names in `RARE_NAMES`, are in none of it.

## Word error rates

Greedy CTC on the weights as stored. Sentences and voices of the synthetic test sets are in no training speech, and
noise (SNR over the whole utterance) is coloured and swelling, in 30 % of cases babble. The AN4 speakers are in no
training speech, but some of what they say is ({an4_seen:.0f} % of the utterances, short commands mostly), and this set
is a part of the validation set that chose the epochs to average.

Test voices and sentences were drawn anew after the encoder was finished (`mini_corpus.voices`, `TEST_DRAW`), and it was
scored on them once. The sets before, which its design was decided on, gave 1.98 clean, 9.62 at 5 dB, 5.81 in Spanish.

| set | utterances | WER % | sentences with an error % |
|---|---|---|---|
{scores}

By test voice (WER %):

| voice | {voice_sets} |
|---|{rule}|
{voices}

## Licence

The weights are Apache-2.0. The synthetic speech was made with espeak-ng, of which nothing is in this folder.
"""


def card(model_dir: Path, results: dict, expdir: Path, data_dir: Path) -> str:
    """The text of the card."""
    import yaml
    from safetensors import safe_open

    with safe_open(model_dir / "model.safetensors", "pt") as weights:
        shapes = [weights.get_slice(name).get_shape() for name in weights.keys()]  # noqa: SIM118 (no iterator)
    config = yaml.safe_load((expdir / "config.yaml").read_text(encoding="utf-8"))
    times = [training_time((folder / "train.log").read_text(encoding="utf-8")) for folder in (expdir / "first", expdir)]
    epochs, seconds = (sum(values) for values in zip(*times, strict=True))
    by_voice = [name for name in ("test_en", "test_en_snr10", "test_en_snr5", "test_es") if name in results]
    return CARD.format(
        parameters=sum(math.prod(shape) for shape in shapes) / 1e6,
        tokens=len(config["token_list"]),
        seed=config["seed"],
        an4_seen=100 * _share_seen(data_dir / "dev_an4" / "text", data_dir / "train" / "text"),
        steps=epochs * config["num_iters_per_epoch"],
        batch_seconds=config["batch_bins"] / 16000,
        minutes=seconds / 60,
        cpu=_processor(),
        corpora="\n".join(_corpus_rows(data_dir)),
        scores="\n".join(_score_rows(results)),
        voice_sets=" | ".join(SET_NAMES[name] for name in by_voice),
        rule="---|" * (len(by_voice) - 1) + "---",
        voices="\n".join(_voice_rows(results, by_voice)),
    )


def _score_rows(results: dict) -> list[str]:
    return [
        f"| {title} | {r['utterances']} | {100 * r['wer']:.2f} | {100 * r['sentence_errors']:.1f} |"
        for name, title in SET_NAMES.items()
        if (r := results.get(name))
    ]


def _voice_rows(results: dict, sets: list[str]) -> list[str]:
    voices = sorted({voice for name in sets for voice in results[name]["wer_by_voice"]})
    rows = []
    for voice in voices:
        cells = (results[name]["wer_by_voice"].get(voice) for name in sets)
        rows.append(f"| {voice} | " + " | ".join("" if c is None else f"{100 * c:.1f}" for c in cells) + " |")
    return rows


def _corpus_rows(data_dir: Path) -> list[str]:
    rows = []
    for name, title in CORPORA.items():
        lengths = data_dir / name / "utt2num_samples"
        if lengths.is_file():
            samples = [int(line.split()[1]) for line in lengths.read_text().splitlines()]
            rows.append(f"| {title} | {len(samples)} | {sum(samples) / 16000 / 3600:.1f} |")
    return rows


def training_time(log: str) -> tuple[int, float]:
    """Finished epochs and their seconds, from the times of ESPnet's log lines; a resumed training counts each once."""
    started, seconds = None, {}
    for stamp, epoch, event in re.findall(_EPOCH_LINE, log):
        moment = datetime.fromisoformat(stamp)
        if event == "started":
            started = moment
        elif started is not None:
            seconds[epoch] = (moment - started).total_seconds()
    return len(seconds), sum(seconds.values())


def _share_seen(evaluation: Path, training: Path) -> float:
    """Share of the utterances in one text file whose words are a whole utterance of the other; 0 without the first."""
    if not evaluation.is_file():
        return 0.0
    seen = {line.partition(" ")[2] for line in training.read_text(encoding="utf-8").splitlines()}
    said = [line.partition(" ")[2] for line in evaluation.read_text(encoding="utf-8").splitlines()]
    return sum(words in seen for words in said) / len(said)


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = re.findall(r"model name\s*: (.*)", cpuinfo.read_text())
        if names:
            return f"{names[0]} ({len(names)} cores)"
    return platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model_dir", type=Path, required=True, help="exported encoder; the card goes there")
    parser.add_argument("--results", type=Path, required=True, help="what evaluate.py wrote")
    parser.add_argument("--expdir", type=Path, required=True, help="ESPnet's output directory, with train.log")
    parser.add_argument("--data_dir", type=Path, required=True, help="where the training sets are")
    options = parser.parse_args()
    results = json.loads(options.results.read_text(encoding="utf-8"))
    text = card(options.model_dir, results, options.expdir, options.data_dir)
    temporary = options.model_dir / "README.md.tmp"
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, options.model_dir / "README.md")


if __name__ == "__main__":
    main()
