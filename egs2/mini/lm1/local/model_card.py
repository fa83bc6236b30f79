"""Write the card of the exported language model: data, command, time, hardware, scores, licence.

    python local/model_card.py --config conf/train.yaml --expdir exp --output ../foundations/llm/README.md
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path

CARD = """---
license: apache-2.0
language: [en, es]
library_name: transformers
pipeline_tag: text2text-generation
---
# The text model of the miniature

A T5 with {parameters:,} parameters and {pieces} sentencepiece pieces, trained from scratch, on text alone, to follow
instructions about sentences of everyday requests: to repeat them, translate them (English and Spanish, both ways),
answer questions about them, reply, continue, name the topic, and put names right from a list. It has met no speech.

Input: text, `<sp>`, optionally `possible names a b c`, the instruction, end of sequence; each part tokenized by
itself. Lower case, letters and apostrophes only; the wordings are in `egs2/mini/slm1/conf/tasks.yaml`.

## Training
- Data: sentences drawn from the grammar in `egs2/mini/mini_corpus` (seed {seed}), held-out ones left out;
  {noisy:.0%} of the inputs with recognition-like errors; AN4-like dictation; {running}.
- Command: `egs2/mini/lm1/run.sh{lj_option}`, {steps:,} steps in {minutes:.0f} minutes, {hardware}{changed}.
- Weights are stored in half precision; compute in float32 or bfloat16 (T5 overflows in float16).

## Scores
Exact match, greedy, float32 compute from these rounded weights, true text of {count} held-out sentences each (those
whose checksum `mini_corpus.grammar.held_out` reserves). asr is copying; asr_names has names no list contains;
asr_biasing lists ten names beside clean text; dictation is spelling, digits, addresses and dates.

| task | exact |
|---|---|
{rows}

## Licence
Apache-2.0. The grammar's text is made by this repository; the text of LJ Speech is in the public domain.
"""


def processor_name() -> str:
    """The CPU's name as Linux tells it, with the number of processors."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True, help="training YAML")
    parser.add_argument("--expdir", required=True, help="folder with training.json, scores.json and the tokenizer")
    parser.add_argument("--lj", default="", help="whether LJ Speech's text was used: its folder")
    parser.add_argument("--output", required=True, help="README.md to write, beside model.safetensors")
    args = parser.parse_args()
    import sentencepiece as spm
    import yaml
    from safetensors import safe_open

    expdir, output = Path(args.expdir), Path(args.output)
    with open(args.config, encoding="utf-8") as file:
        config = yaml.safe_load(file)
    training = json.loads((expdir / "training.json").read_text(encoding="utf-8"))
    changes = ", ".join(map(str, training["configuration_changed_at"]))
    scores = json.loads((expdir / "scores.json").read_text(encoding="utf-8"))
    with safe_open(output.parent / "model.safetensors", "np") as weights:
        parameters = sum(weights.get_tensor(key).size for key in weights.keys())  # noqa: SIM118 (no mapping)
    card = CARD.format(
        parameters=parameters,
        pieces=spm.SentencePieceProcessor(model_file=str(expdir / "spiece.model")).get_piece_size(),
        seed=config["seed"],
        noisy=config["data"]["noisy"],
        running="sentences of LJ Speech, to be copied" if args.lj else "no running text",
        lj_option=" --lj <LJ Speech folder>" if args.lj else "",
        steps=training["steps"],
        minutes=training["seconds"] / 60,
        hardware=f"one thread of {processor_name()}",
        changed=f"; the configuration was changed at step {changes}" if changes else "",
        count=scores[0]["count"],
        rows="\n".join(f"| {score['name']} | {score['value']:.3f} |" for score in scores),
    )
    temporary = output.with_suffix(".tmp")
    temporary.write_text(card, encoding="utf-8")
    os.replace(temporary, output)


if __name__ == "__main__":
    main()
