"""Train the miniature language model, a T5 built from its configuration, on text examples drawn on the fly.

    python local/train_lm.py --config conf/train.yaml --tasks ../slm1/conf/tasks.yaml \
        --tokenizer exp/spiece.model --expdir exp

Runs on one thread (or as many as --threads says). Killed at any moment it continues, on the next call, from the last
checkpoint with the same batches. A small T5 does not find out how to copy in order by itself: the heads' relative
position biases start local, and the first steps copy random tokens in float32.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ENCODER_OFFSETS = (-1, 1, -2, 0, 2, -3)  # one head each; the others stay free
DECODER_OFFSETS = (-1, 0, -2, -3)
Pair = tuple[list[int], list[int]]  # input ids, output ids
BUCKETS = 32  # T5's relative position buckets


@dataclass(frozen=True)
class OptimizerConfig:
    """Optimization; conf/train.yaml explains each value."""

    lr: float = 1.5e-3
    weight_decay: float = 0.01
    warmup_steps: int = 100
    copy_steps: int = 400
    copy_batch: int = 48
    steps: int = 7000
    batch_tokens: int = 2400
    clip: float = 1.0

    def rate(self, step: int) -> float:
        """Learning rate at a step: linear warm-up, then a cosine to zero."""
        warm = min(1.0, (step + 1) / self.warmup_steps)
        return self.lr * warm * 0.5 * (1 + math.cos(math.pi * min(1.0, step / self.steps)))


def build_model(values: dict, vocab_size: int):
    """A T5ForConditionalGeneration whose attention starts local."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(
        vocab_size=vocab_size,
        feed_forward_proj="relu",
        dropout_rate=0.0,
        tie_word_embeddings=True,
        relative_attention_num_buckets=BUCKETS,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
        **values,
    )
    model = T5ForConditionalGeneration(config)
    with torch.no_grad():
        encoder = model.encoder.block[0].layer[0].SelfAttention.relative_attention_bias.weight
        for head, offset in enumerate(ENCODER_OFFSETS[: config.num_heads]):
            encoder[abs(offset) + (BUCKETS // 2 if offset > 0 else 0), head] += 5.0
        decoder = model.decoder.block[0].layer[0].SelfAttention.relative_attention_bias.weight
        for head, offset in enumerate(DECODER_OFFSETS[: config.num_heads]):
            decoder[-offset, head] += 5.0
    return model


class Batches:
    """Endless batches for the steps after the copy phase, a function of the seed and of (pool, place in pool) alone."""

    def __init__(self, maker, encoder, seed: int, batch_tokens: int, tokens_share: float, pool: int, place: int):
        self.maker, self.encoder, self.seed, self.batch_tokens = maker, encoder, seed, batch_tokens
        self.tokens_share = tokens_share
        self.pool, self.place = pool, place
        self._batches: list | None = None

    def next(self) -> list[Pair]:
        """The next batch: pairs of input and output ids."""
        if self._batches is None:
            self._batches = list(self._draw_pool())
        if self.place >= len(self._batches):
            self.pool, self.place = self.pool + 1, 0
            self._batches = list(self._draw_pool())
        self.place += 1
        return self._batches[self.place - 1]

    def _draw_pool(self, size: int = 1024) -> Iterator[list]:
        rng = random.Random(f"{self.seed} pool {self.pool}")
        pairs = []
        for _ in range(size):
            if rng.random() < self.tokens_share:
                wording = self.maker.tasks["asr"].prompt("en", rng)
                pairs.append(self.encoder.random_copy(rng, 20, False, wording))
            else:
                pairs.append(self.encoder.training_ids(self.maker.draw(rng), rng, self.maker.config))
        pairs.sort(key=lambda pair: (len(pair[0]) + 4 * len(pair[1]), len(pair[0])))
        batches, batch, longest = [], [], (0, 0)
        for pair in pairs:
            grown = (max(longest[0], len(pair[0])), max(longest[1], len(pair[1])))
            if batch and (grown[0] + 4 * grown[1]) * (len(batch) + 1) > self.batch_tokens:
                batches.append(batch)
                batch, grown = [], (len(pair[0]), len(pair[1]))
            batch.append(pair)
            longest = grown
        batches.append(batch)
        rng.shuffle(batches)
        return batches


def copy_batch(encoder, wordings, seed: int, step: int, config: OptimizerConfig) -> list[Pair]:
    """A batch of the copy phase: short sequences, then longer ones, then with an instruction beside them."""
    rng = random.Random(f"{seed} copy {step}")
    early, late = config.copy_steps // 3, 2 * config.copy_steps // 3
    longest = 5 if step < early else 14
    bare = step < late
    return [encoder.random_copy(rng, longest, bare, rng.choice(wordings)) for _ in range(config.copy_batch)]


def pad(rows: list[list[int]], value: int):
    """Rows of ids as one tensor (B, longest)."""
    import torch

    longest = max(map(len, rows))
    return torch.tensor([row + [value] * (longest - len(row)) for row in rows])


def loss_of(model, batch, mixed: float, half: bool):
    """Mean cross-entropy of the answers' tokens; a share `mixed` of input embeddings is blurred with another's."""
    import torch
    from fast_t5 import logits

    inputs, labels = pad([pair[0] for pair in batch], 0), pad([pair[1] for pair in batch], -100)
    mask = inputs != 0
    embeddings = model.shared(inputs)
    if mixed:
        share = torch.rand(inputs.shape) * 0.4 * (torch.rand(inputs.shape) < mixed) * (inputs > 3)
        others = model.shared(torch.randint(3, model.config.vocab_size, inputs.shape))
        embeddings = torch.lerp(embeddings, others, share[..., None])
    scores = logits(model, embeddings, mask, labels, torch.bfloat16 if half else torch.float32)
    return torch.nn.functional.cross_entropy(scores.flatten(0, 1), labels.flatten(), ignore_index=-100)


def save(path: Path, content: dict) -> None:
    """Write a checkpoint atomically."""
    import torch

    temporary = path.with_suffix(".tmp")
    torch.save(content, temporary)
    os.replace(temporary, path)


def train(args: argparse.Namespace, config: dict) -> None:
    """The training loop, from the start or from expdir/checkpoint.pt."""
    import torch
    from lm_data import DataConfig, Encoder, ExampleMaker, read_running_text
    from mini_corpus.tasks import load_tasks

    torch.set_num_threads(args.threads)
    expdir, seed = Path(args.expdir), config["seed"]
    data, optimization = DataConfig(**config["data"]), OptimizerConfig(**config["optimizer"])
    encoder = Encoder(args.tokenizer)
    maker = ExampleMaker(data, load_tasks(args.tasks), read_running_text(args.lj) if args.lj else ())
    wordings = maker.tasks["asr"].prompts["en"]
    torch.manual_seed(seed)
    model = build_model(config["model"], encoder.vocab_size).train()
    decayed = [p for p in model.parameters() if p.dim() > 1]
    kept = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": optimization.weight_decay}, {"params": kept, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=optimization.lr, betas=(0.9, 0.98))
    step, pool, place, seconds, changes = 0, 0, 0, 0.0, []  # changes: steps where the configuration was another
    checkpoint = expdir / "checkpoint.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step, pool, place, seconds = state["step"], state["pool"], state["place"], state["seconds"]
        changes = state["changes"] + ([step] if state["config"] != json.dumps(config) else [])
        print(f"continuing from step {step}" + (f", configuration changed at {changes}" if changes else ""), flush=True)
    share = data.tasks.get("tokens", 0) / sum(data.tasks.values())
    batches = Batches(maker, encoder, seed, optimization.batch_tokens, share, pool, place)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {encoder.vocab_size} pieces", flush=True)

    def snapshot() -> dict:
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step, "seconds": seconds}
        position = {"pool": batches.pool, "place": batches.place}
        return {**state, **position, "config": json.dumps(config), "changes": changes}

    steps = min(optimization.steps, args.stop_step or optimization.steps)
    total, count, examples, began = 0.0, 0, 0, time.time()
    while step < steps:
        copying = step < optimization.copy_steps
        batch = copy_batch(encoder, wordings, seed, step, optimization) if copying else batches.next()
        torch.manual_seed(seed * 1_000_003 + step)  # the blur of this step is the same after a restart
        loss = loss_of(model, batch, 0.0 if copying else data.mixed_tokens, half=not copying)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), optimization.clip)
        for group in optimizer.param_groups:
            group["lr"] = optimization.rate(step)
        optimizer.step()
        step, total, count, examples = step + 1, total + loss.item(), count + 1, examples + len(batch)
        now = time.time()
        seconds, began = seconds + now - began, now
        if step % 50 == 0 or step == steps:
            left = (optimization.steps - step) * seconds / max(1, step)
            print(
                f"{time.strftime('%H:%M:%S')} step {step}/{optimization.steps} loss {total / count:.4f} "
                f"examples a batch {examples / count:.0f} lr {optimization.rate(step):.2e} "
                f"{step / seconds:.2f} steps/s eta {left / 60:.0f} min",
                flush=True,
            )
            total, count, examples = 0.0, 0, 0
        if step % config["checkpoint_steps"] == 0 or step == steps:
            save(checkpoint, snapshot())
        if step % config["evaluate_steps"] == 0 and step < steps:
            report_progress(model, encoder, maker, step)
            began = time.time()
    save(expdir / "model.pt", {"model": model.state_dict(), "step": step, "seconds": seconds})
    summary = {"steps": step, "seconds": round(seconds), "configuration_changed_at": changes}
    (expdir / "training.json").write_text(json.dumps(summary), encoding="utf-8")
    print(f"trained {step} steps in {seconds / 60:.1f} minutes", flush=True)


def report_progress(model, encoder, maker, step: int) -> None:
    """Print a small evaluation on held-out sentences."""
    from evaluate_lm import evaluate

    model.eval()
    scores = evaluate(model, encoder, maker, count=60, batch_size=60)
    print(f"step {step} " + " ".join(f"{s['name']} {s['value']:.3f}" for s in scores), flush=True)
    model.train()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True, help="training YAML")
    parser.add_argument("--tasks", required=True, help="YAML of the tasks' wordings")
    parser.add_argument("--tokenizer", required=True, help="sentencepiece model")
    parser.add_argument("--lj", default="", help="folder of LJ Speech with its metadata (optional)")
    parser.add_argument("--expdir", required=True, help="folder for checkpoints and the trained model")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--stop_step", type=int, default=0, help="stop after this step (0: at the end)")
    args = parser.parse_args()
    import yaml

    with open(args.config, encoding="utf-8") as file:
        config = yaml.safe_load(file)
    Path(args.expdir).mkdir(parents=True, exist_ok=True)
    train(args, config)


if __name__ == "__main__":
    main()
