"""Train the sentencepiece model of the miniature language model.

    python local/train_tokenizer.py --config conf/train.yaml --tasks ../slm1/conf/tasks.yaml --output exp/spiece.model
"""

from __future__ import annotations

import argparse
import os
import random
import string
import tempfile
from pathlib import Path

ACCENTED = "áéíóúüñ"


def corpus(rng: random.Random, count: int, wordings: list[str], running_text: list[str]) -> list[str]:
    """Lines of everything that the model will read or write."""
    from mini_corpus.grammar import COMMON_NAMES, RARE_NAMES, generate, generate_dictation, invented_name

    lines = []
    for _ in range(count):
        names = [rng.choice((*COMMON_NAMES, *RARE_NAMES)), invented_name(rng), invented_name(rng)]
        sentence = generate(rng, names)
        lines += [sentence.english, rng.choice((sentence.spanish, sentence.reply, sentence.continuation))]
        if rng.random() < 0.15:
            lines.append(generate_dictation(rng))
        if rng.random() < 0.1:
            lines += [rng.choice(wordings), sentence.category, "possible names " + " ".join(names)]
    lines += rng.sample(running_text, min(len(running_text), count // 5))
    return lines


def train(lines: list[str], vocab_size: int, output: Path) -> None:
    """Write `output` (a sentencepiece model: pad 0, eos 1, unk 2, no bos, "<sp>" one piece)."""
    import sentencepiece as spm

    letters = string.ascii_lowercase + ACCENTED + "'"
    with tempfile.TemporaryDirectory(dir=output.parent) as folder:
        text = Path(folder) / "text"
        text.write_text("\n".join(lines) + "\n", encoding="utf-8")
        spm.SentencePieceTrainer.train(
            input=str(text),
            model_prefix=str(Path(folder) / "model"),
            vocab_size=vocab_size,
            model_type="unigram",
            pad_id=0,
            eos_id=1,
            unk_id=2,
            bos_id=-1,
            pad_piece="<pad>",
            eos_piece="</s>",
            character_coverage=1.0,
            required_chars=letters,
            user_defined_symbols=["<sp>"],
            normalization_rule_name="identity",
            num_threads=1,
            minloglevel=2,
        )
        os.replace(Path(folder) / "model.model", output)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True, help="training YAML")
    parser.add_argument("--tasks", required=True, help="YAML of the tasks' wordings")
    parser.add_argument("--lj", default="", help="folder of LJ Speech with its metadata (optional)")
    parser.add_argument("--output", required=True, help="sentencepiece model to write")
    args = parser.parse_args()
    import yaml
    from lm_data import read_running_text
    from mini_corpus.tasks import load_tasks

    with open(args.config, encoding="utf-8") as file:
        config = yaml.safe_load(file)
    wordings = [w for task in load_tasks(args.tasks).values() for group in task.prompts.values() for w in group]
    text = read_running_text(args.lj) if args.lj else []
    lines = corpus(random.Random(f"{config['seed']} tokenizer"), config["tokenizer"]["sentences"], wordings, text)
    output = Path(args.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    train(lines, config["tokenizer"]["vocab_size"], output)
    print(f"{output}: {config['tokenizer']['vocab_size']} pieces from {len(lines)} lines")


if __name__ == "__main__":
    main()
