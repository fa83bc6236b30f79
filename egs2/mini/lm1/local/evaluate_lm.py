"""Score a language model checkpoint on true text of held-out sentences, greedy, exact match.

    python local/evaluate_lm.py --model ../foundations/llm --tasks ../slm1/conf/tasks.yaml --output exp/scores.json
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from pathlib import Path

CONDITIONS = (  # name, task, variant
    ("asr_en", "asr", "en"),
    ("asr_es", "asr", "es"),
    ("ast_en_es", "ast", "en_es"),
    ("ast_es_en", "ast", "es_en"),
    ("qa", "qa", ""),
    ("dialog", "dialog", "default"),
    ("continuation", "continuation", "default"),
    ("category", "category", "default"),
    ("asr_biasing", "asr_biasing", "en"),
)


def greedy(model, inputs: list[list[int]], batch_size: int, longest: int = 70) -> list[list[int]]:
    """Ids written for each input, without the end of sequence; inputs are batched by length."""
    import torch
    from train_lm import pad

    order = sorted(range(len(inputs)), key=lambda i: len(inputs[i]))
    written: list[list[int]] = [[] for _ in inputs]
    with torch.inference_mode():
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            ids = pad([inputs[i] for i in chosen], 0)
            output = model.generate(
                input_ids=ids, attention_mask=(ids != 0).long(), max_new_tokens=longest, do_sample=False, num_beams=1
            )
            for i, row in zip(chosen, output.tolist(), strict=True):
                row = row[1:]
                written[i] = row[: row.index(1)] if 1 in row else row
    return written


def test_sets(maker, count: int, seed: str = "test") -> dict[str, list]:
    """Held-out examples by condition; "asr_names" has only names that no list holds, "dictation" AN4-like text."""
    from mini_corpus.grammar import invented_name

    sets = {}
    for name, task, variant in CONDITIONS:
        rng = random.Random(f"{seed} {name}")
        sets[name] = [maker.test_example(rng, task, variant) for _ in range(count)]
    rng = random.Random(f"{seed} names")
    sets["asr_names"] = []
    while len(sets["asr_names"]) < count:
        names = [invented_name(rng), invented_name(rng)]
        example = maker.test_example(rng, "asr", "en", names)
        if any(name in example.source.split() for name in names):
            sets["asr_names"].append(example)
    rng = random.Random(f"{seed} dictation")
    sets["dictation"] = [maker.test_dictation(rng) for _ in range(count)]
    return sets


def evaluate(model, encoder, maker, count: int, batch_size: int = 100, examples_out: list | None = None) -> list[dict]:
    """Exact-match share per condition; wrong answers are appended to `examples_out`."""
    scores = []
    for name, examples in test_sets(maker, count).items():
        answers = greedy(model, [encoder.test_ids(e) for e in examples], batch_size)
        texts = [encoder.pieces.decode(ids) for ids in answers]
        right = sum(text == example.target for text, example in zip(texts, examples, strict=True))
        scores.append({"name": name, "metric": "exact", "value": right / len(examples), "count": len(examples)})
        if examples_out is not None:
            wrong = [(e, t) for e, t in zip(examples, texts, strict=True) if t != e.target]
            examples_out += [{"name": name, "source": e.source, "prompt": e.instruction, "names": e.names,
                              "target": e.target, "answer": t} for e, t in wrong]  # fmt: skip
    return scores


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="Hugging Face checkpoint folder with spiece.model")
    parser.add_argument("--tasks", required=True, help="YAML of the tasks' wordings")
    parser.add_argument("--count", type=int, default=500, help="sentences per condition")
    parser.add_argument("--output", required=True, help="JSON to write; wrong answers go to <output>.wrong.jsonl")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    args = parser.parse_args()
    import torch
    from lm_data import DataConfig, Encoder, ExampleMaker
    from mini_corpus.tasks import load_tasks
    from transformers import T5ForConditionalGeneration

    torch.set_num_threads(args.threads)
    model = T5ForConditionalGeneration.from_pretrained(args.model, dtype=torch.float32).eval()
    encoder = Encoder(Path(args.model) / "spiece.model")
    maker = ExampleMaker(DataConfig(tasks={"asr_en": 1}), load_tasks(args.tasks))
    wrong: list[dict] = []
    began = time.time()
    scores = evaluate(model, encoder, maker, args.count, examples_out=wrong)
    temporary = Path(f"{args.output}.tmp")
    temporary.write_text(json.dumps(scores, indent=1), encoding="utf-8")
    os.replace(temporary, args.output)
    with open(f"{args.output}.wrong.jsonl", "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in wrong)
    for score in scores:
        print(f"{score['name']:14s} {score['value']:.3f} of {score['count']}")
    print(f"{time.time() - began:.0f} s")


if __name__ == "__main__":
    main()
