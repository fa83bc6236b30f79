"""The miniature's grammar: one answer to every question, one translation of every sentence, held-out sentences kept."""

from __future__ import annotations

import random
import re
import string
from pathlib import Path

import pytest
import yaml
from mini_corpus import lexicon
from mini_corpus.grammar import (
    COMMON_NAMES,
    QUESTION_KEYS,
    RARE_NAMES,
    generate,
    generate_dictation,
    grammar_words,
    held_out,
    invented_name,
)
from mini_corpus.tasks import VARIANTS, examples, load_tasks, name_list
from mini_corpus.templates import TEMPLATES
from mini_corpus.text_noise import confuse_sounds, corrupt

TASKS = Path(__file__).parents[2] / "egs2" / "mini" / "slm1" / "conf" / "tasks.yaml"


@pytest.fixture(scope="module")
def sentences():
    rng = random.Random(3)
    return [generate(rng, COMMON_NAMES) for _ in range(30000)]


def test_everything_is_a_function_of_the_words(sentences):
    meanings, back = {}, {}
    for s in sentences:
        meaning = (s.spanish, s.category, s.reply, s.continuation, s.questions, s.names)
        assert meanings.setdefault(s.english, meaning) == meaning
        assert back.setdefault(s.spanish, s.english) == s.english
    assert len(meanings) > 24000


def test_one_to_one_tables():
    for table in (lexicon.CITIES, lexicon.TIMES, lexicon.TASKS, lexicon.FOODS, lexicon.OBJECTS, lexicon.GENRES):
        assert len(set(table.values())) == len(table)


def test_no_template_hides_another():
    """Two templates never give the same words, whatever is in their slots."""
    for side in ("english", "spanish"):
        shapes = [re.sub(r"\{\w+\}", "*", getattr(template, side)) for template in TEMPLATES]
        assert len(set(shapes)) == len(shapes)


def test_alphabets(sentences):
    for s in sentences[:3000]:
        for text in (s.english, s.reply, s.continuation, s.category, *(answer for _, answer in s.questions)):
            assert re.fullmatch(r"[a-z']+( [a-z']+)*", text)
        assert re.fullmatch(r"[a-záéíóúüñ]+( [a-záéíóúüñ]+)*", s.spanish)
        assert not re.search(r"\b(a|de) el\b", s.spanish)


def test_answers_are_said(sentences):
    for s in sentences[:3000]:
        for _, answer in s.questions:
            assert f" {answer} " in f" {s.english} "
        assert all(name in s.english.split() and name in s.spanish.split() for name in s.names)
    asked = {key for s in sentences for key, _ in s.questions}
    assert asked == set(QUESTION_KEYS)


def test_spanish_agrees_in_gender():
    rng = random.Random(0)
    texts = " | ".join(generate(rng, COMMON_NAMES).spanish for _ in range(20000))
    assert "la chaqueta roja" in texts and "el sombrero rojo" in texts
    assert "la chaqueta rojo" not in texts and "una serpiente blanca" in texts and "un gato blanca" not in texts


def test_need_name_and_given_names():
    rng = random.Random(1)
    for _ in range(200):
        s = generate(rng, ["zaza", "momo"], need_name=True)
        assert s.names and set(s.names) <= {"zaza", "momo"}
    with pytest.raises(ValueError, match="two different names"):
        generate(rng, ["zaza", "zaza"])


def test_same_seed_same_sentence():
    first, again = ([generate(random.Random(5), COMMON_NAMES) for _ in range(3)] for _ in range(2))
    assert first == again and len(set(first)) == 1


def test_names_are_disjoint_from_words():
    rng = random.Random(2)
    words = grammar_words()
    invented = {invented_name(rng) for _ in range(2000)}
    assert len(invented) > 1000 and all(4 <= len(name) <= 9 for name in invented)
    assert not invented & (words | set(COMMON_NAMES) | set(RARE_NAMES))
    assert not set(COMMON_NAMES) & set(RARE_NAMES) and not (set(COMMON_NAMES) | set(RARE_NAMES)) & words


def test_held_out_share(sentences):
    share = sum(held_out(s.english) for s in sentences) / len(sentences)
    assert 0.02 < share < 0.03


def test_dictation_covers_letters_and_digits():
    rng = random.Random(4)
    texts = [generate_dictation(rng) for _ in range(3000)]
    words = {word for text in texts for word in text.split()}
    assert set(string.ascii_lowercase) <= words
    assert {"oh", "zero", "hundred", "thousand", "enter", "rubout", "erase", "help", "twentieth", "august"} <= words
    assert all(re.fullmatch(r"[a-z]+( [a-z]+)*", text) for text in texts)


def test_wordings_cover_every_question():
    tasks = load_tasks(TASKS)
    assert set(tasks) == set(VARIANTS)
    for task in tasks.values():
        for variant, wordings in task.prompts.items():
            assert len(set(wordings)) >= 3 and task.eval_prompt[variant] in wordings
    of_questions = [w for group in tasks["qa"].prompts.values() for w in group]
    assert len(set(of_questions)) == len(of_questions), "one wording must not ask for two things"


def test_wrong_tasks_name_file_and_cure(tmp_path):
    content = yaml.safe_load(TASKS.read_text(encoding="utf-8"))
    content["tasks"]["asr"]["eval_prompt"]["en"] = "say it"
    path = tmp_path / "tasks.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(ValueError, match=r"tasks.yaml: task 'asr': eval_prompt of 'en' must be one of its prompts"):
        load_tasks(path)


def test_examples_ask_each_language(sentences):
    s = next(s for s in sentences if s.names)
    by = {(e.task, e.variant): e for e in examples(s)}
    assert (by["ast", "es_en"].source, by["ast", "es_en"].target) == (s.spanish, s.english)
    assert by["asr", "es"].target == s.spanish and by["asr_biasing", "en"].target == s.english
    assert by["qa", "person"].target == s.names[0]


def test_name_list_holds_the_spoken_once():
    listed = name_list(random.Random(0), ["anna"], [*RARE_NAMES, "anna"], 10)
    assert len(set(listed)) == 10 and listed.count("anna") == 1
    with pytest.raises(ValueError, match="only 1 other names"):
        name_list(random.Random(0), ["anna"], ["zachary"], 10)


def test_noise_leaves_kept_words_and_is_seeded():
    text = "call roxanne on monday at half past six thank you my friend"
    noisy = [corrupt(random.Random(seed), text, 0.3, keep=("roxanne",)) for seed in range(200)]
    assert all("roxanne" in t.split() for t in noisy)
    assert sum(t != text for t in noisy) > 150
    assert noisy[:5] == [corrupt(random.Random(seed), text, 0.3, keep=("roxanne",)) for seed in range(5)]
    assert all(confuse_sounds(random.Random(seed), "h", 3) for seed in range(20))
