"""The miniature's language model: its fast pass is the model's own, it resumes exactly, its tokenizer travels."""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

import pytest
import torch

LOCAL = Path(__file__).parents[2] / "egs2" / "mini" / "lm1" / "local"
TASKS = LOCAL.parents[1] / "slm1" / "conf" / "tasks.yaml"
TINY = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4}
KINDS = ("asr_en", "asr_es", "ast_en_es", "ast_es_en", "qa", "category", "asr_biasing", "dictation", "tokens")
CONFIG = {
    "seed": 3,
    "model": TINY,
    "data": {"tasks": dict.fromkeys(KINDS, 1)},
    "optimizer": {"warmup_steps": 2, "copy_steps": 3, "copy_batch": 4, "steps": 8, "batch_tokens": 400},
    "checkpoint_steps": 5,
    "evaluate_steps": 100,
}


@pytest.fixture(scope="module", autouse=True)
def local_modules():
    sys.path.insert(0, str(LOCAL))
    yield
    sys.path.remove(str(LOCAL))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    from mini_corpus.tasks import load_tasks
    from train_tokenizer import corpus, train

    wordings = [w for task in load_tasks(TASKS).values() for group in task.prompts.values() for w in group]
    path = tmp_path_factory.mktemp("tokenizer") / "spiece.model"
    train(corpus(random.Random(0), 500, wordings, []), 300, path)
    return path


@pytest.fixture()
def maker():
    from lm_data import DataConfig, ExampleMaker
    from mini_corpus.tasks import load_tasks

    return ExampleMaker(DataConfig(**CONFIG["data"]), load_tasks(TASKS))


def test_fast_pass_is_the_models_own():
    from fast_t5 import logits
    from train_lm import build_model

    torch.manual_seed(0)
    model = build_model(TINY, 50)
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    ids, labels = torch.randint(3, 50, (3, 9)), torch.randint(3, 50, (3, 6))
    ids[0, 5:], labels[1, 3:] = 0, -100
    own = model(input_ids=ids, attention_mask=(ids != 0).long(), labels=labels)
    scores = logits(model, model.shared(ids), ids != 0, labels, torch.float32)
    torch.testing.assert_close(scores, own.logits, atol=1e-4, rtol=1e-4)
    loss = torch.nn.functional.cross_entropy(scores.flatten(0, 1), labels.flatten(), ignore_index=-100)
    expected = torch.autograd.grad(own.loss, list(model.parameters()))
    found = torch.autograd.grad(loss, list(model.parameters()))
    for a, b in zip(expected, found, strict=True):
        torch.testing.assert_close(b, a, atol=1e-4, rtol=1e-3)


def test_interrupted_training_equals_uninterrupted(tokenizer, tmp_path):
    import train_lm

    def run(folder, stop_step):
        (tmp_path / folder).mkdir(exist_ok=True)
        options = {"tokenizer": str(tokenizer), "tasks": str(TASKS), "lj": "", "expdir": str(tmp_path / folder)}
        train_lm.train(argparse.Namespace(**options, threads=1, stop_step=stop_step), CONFIG)
        return torch.load(tmp_path / folder / "model.pt", weights_only=True)["model"]

    whole = run("whole", 0)
    run("halves", 6)
    halves = run("halves", 0)
    assert all(torch.equal(whole[key], halves[key]) for key in whole)


def test_no_training_example_is_held_out(maker):
    from mini_corpus.grammar import held_out

    rng = random.Random(1)
    drawn = [maker.draw(rng) for _ in range(3000)]
    assert not [e for e in drawn if e.task == "asr" and e.variant == "en" and held_out(e.target)]
    assert not [e for e in drawn if (e.task, e.variant) == ("ast", "es_en") and held_out(e.target)]
    assert held_out(maker.test_example(rng, "ast", "es_en").target)


def test_biasing_examples_can_be_answered(maker):
    """Whoever is spoken of is in the list, or is written in the source as it should be."""
    from mini_corpus.grammar import grammar_words

    rng, words = random.Random(2), grammar_words()
    listed = [e for e in (maker.draw(rng) for _ in range(3000)) if e.task == "asr_biasing"]
    misheard = 0
    for example in listed:
        names = [word for word in example.target.split() if word not in words]
        assert all(name in example.names or name in example.source.split() for name in names)
        misheard += any(name not in example.source.split() for name in names)
    assert len(listed) > 200 and misheard > len(listed) / 4


def test_layout_is_the_prompt_templates(maker):
    from lm_data import Encoder

    from slm_espnet.foundation import load_foundation
    from slm_espnet.llm.build import build_tokenizer
    from slm_espnet.prompt import PromptTemplate

    pair = load_foundation(LOCAL.parents[3] / "conf" / "foundation" / "mini.yaml")
    encoder = Encoder(Path(pair.llm_conf["model"]) / "spiece.model")
    pieces, template = build_tokenizer(pair.llm, pair.llm_conf), PromptTemplate.from_dict(pair.prompt_conf)
    for task in ("asr_biasing", "qa"):
        example = maker.test_example(random.Random(5), task)
        found = template.with_text(pieces, example.source, example.instruction, example.names)
        assert list(found.ids) == encoder.test_ids(example)


def test_batches_keep_to_the_budget_and_to_the_seed(tokenizer, maker):
    from lm_data import Encoder
    from train_lm import Batches

    encoder = Encoder(tokenizer)
    batches = Batches(maker, encoder, 1, 900, 0.1, 0, 0)
    drawn = [batches.next() for _ in range(5)]
    for batch in drawn:
        assert len(batch) * (max(len(i) for i, _ in batch) + 4 * max(len(o) for _, o in batch)) <= 900
    assert Batches(maker, encoder, 1, 900, 0.1, 0, 3).next() == drawn[3]


def test_exported_checkpoint_loads_by_itself(tokenizer, tmp_path):
    import shutil

    from export_lm import export
    from train_lm import build_model
    from transformers import AutoTokenizer, T5ForConditionalGeneration

    shutil.copyfile(tokenizer, tmp_path / "spiece.model")
    torch.manual_seed(0)
    model = build_model(TINY, 300)
    torch.save({"model": model.state_dict()}, tmp_path / "model.pt")
    export(tmp_path, tmp_path / "llm", TINY)
    loaded = T5ForConditionalGeneration.from_pretrained(tmp_path / "llm", dtype=torch.float32)
    assert torch.equal(loaded.shared.weight, model.shared.weight.half().float())
    text_tokenizer = AutoTokenizer.from_pretrained(tmp_path / "llm")
    ids = text_tokenizer("call anna on monday").input_ids
    assert ids[-1] == loaded.config.eos_token_id and text_tokenizer.decode(ids[:-1]) == "call anna on monday"


def test_unknown_option_is_refused():
    import subprocess

    done = subprocess.run(["bash", str(LOCAL.parent / "run.sh"), "--stages", "1"], capture_output=True, text=True)
    assert done.returncode == 2 and "unknown option --stages" in done.stderr
