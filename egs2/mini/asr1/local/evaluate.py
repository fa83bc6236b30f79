"""Greedy CTC word error rates of an exported encoder, by test set and voice.

    python local/evaluate.py --model_dir ../foundations/encoder --data_dir data --results exp/encoder/results.json

Sets are the folders data_dir/test_* and dev_an4 (held-back AN4 speakers), where they exist.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

BATCH = 32


def load_model(model_dir: Path):
    """The exported model, in eval mode and float32; a missing, extra or misshapen weight is an error."""
    import yaml
    from safetensors.torch import load_file

    from slm_espnet.asr.task import ASRTask

    config = argparse.Namespace(**yaml.safe_load((model_dir / "config.yaml").read_text(encoding="utf-8")))
    model = ASRTask.build_model(config)
    state = load_file(model_dir / "model.safetensors")
    model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()}, strict=True)
    return model.eval()


def transcribe(model, waveforms: list) -> list[str]:
    """Best CTC path of each waveform (N,) float32 at 16 kHz, as words."""
    import torch

    lengths = torch.tensor([len(w) for w in waveforms])
    batch = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(w) for w in waveforms], batch_first=True)
    with torch.inference_mode():
        encoded, frames = model.encode(batch, lengths)
        encoded = encoded[0] if isinstance(encoded, tuple) else encoded
        best = model.ctc.argmax(encoded)
    texts = []
    for path, length in zip(best, frames.tolist(), strict=True):
        tokens = torch.unique_consecutive(path[:length]).tolist()
        characters = [model.token_list[t] for t in tokens if t != model.blank_id]
        texts.append(" ".join("".join(" " if c == "<space>" else c for c in characters).split()))
    return texts


def evaluate_set(model, data_dir: Path) -> dict:
    """Words, errors and WER of one set, in all and by speaker, with its first few errors for the eye."""
    import soundfile

    tables = {name: _read_table(data_dir / name) for name in ("wav.scp", "text", "utt2spk", "utt2num_samples")}
    ids = sorted(tables["text"], key=lambda i: int(tables["utt2num_samples"][i]))
    hypotheses = {}
    for start in range(0, len(ids), BATCH):
        chosen = ids[start : start + BATCH]
        waveforms = [soundfile.read(tables["wav.scp"][i], dtype="float32")[0] for i in chosen]
        hypotheses |= dict(zip(chosen, transcribe(model, waveforms), strict=True))
    return score(tables["text"], hypotheses, tables["utt2spk"])


def score(references: dict[str, str], hypotheses: dict[str, str], speakers: dict[str, str]) -> dict:
    """Word errors in all and by variant (what follows the dot of a synthetic speaker's name)."""
    from rapidfuzz.distance import Levenshtein

    words, errors = 0, 0
    by_voice: dict[str, list[int]] = {}
    wrong = []
    for utt_id in sorted(references):
        reference, hypothesis = references[utt_id].split(), hypotheses[utt_id].split()
        distance = Levenshtein.distance(reference, hypothesis)
        words, errors = words + len(reference), errors + distance
        counts = by_voice.setdefault(speakers[utt_id].rpartition(".")[2], [0, 0])
        counts[0] += distance
        counts[1] += len(reference)
        if distance:
            wrong.append([references[utt_id], hypotheses[utt_id]])
    return {
        "utterances": len(references),
        "words": words,
        "wer": errors / words,
        "sentence_errors": len(wrong) / len(references),
        "wer_by_voice": {voice: e / n for voice, (e, n) in sorted(by_voice.items())},
        "examples": wrong[:8],
    }


def _read_table(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return {key: value for key, _, value in (line.partition(" ") for line in lines)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model_dir", type=Path, required=True, help="exported encoder")
    parser.add_argument("--data_dir", type=Path, required=True, help="where the sets are")
    parser.add_argument("--results", type=Path, required=True, help="JSON file to write")
    options = parser.parse_args()
    sets = sorted([*options.data_dir.glob("test_*"), *options.data_dir.glob("dev_an4")])
    if not sets:
        parser.exit(2, f"error: {options.data_dir} has no set test_*; run stage 1\n")
    model = load_model(options.model_dir)
    results = {}
    for folder in sets:
        results[folder.name] = evaluate_set(model, folder)
        print(f"{folder.name:20} WER {100 * results[folder.name]['wer']:6.2f} %", flush=True)
    temporary = options.results.with_name(options.results.name + ".tmp")
    temporary.write_text(json.dumps(results, indent=1, ensure_ascii=False), encoding="utf-8")
    os.replace(temporary, options.results)


if __name__ == "__main__":
    main()
