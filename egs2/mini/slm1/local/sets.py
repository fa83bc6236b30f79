"""What the sets of the mini recipe contain: which sentences, voices, noise, tasks and lists of names.

Sentences of test and dev are in no training of anything; the adapter's training sentences are new to the speech encoder
(mini_corpus.split). Voices of train, dev and test are disjoint.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mini_corpus.grammar import COMMON_NAMES, RARE_NAMES, Sentence, generate, invented_name
from mini_corpus.split import TEST_DRAW, is_held_out_name, part_of
from mini_corpus.tasks import name_list

ENGLISH_TASKS = ("asr", "ast", "qa", "dialog", "category", "continuation")
LIST_SIZE = 10  # names in a context
LONG_LISTS = (100, 1000)  # names that are not spoken in the lists of test_names_100, dev_names_100 and so on
INVENTED_SHARE = 0.3  # of training sentences; their names are invented ones
TEST_SNRS = (10, 5, 0)  # dB
TRAIN_SNR = (0.0, 20.0)  # dB, uniform
TRAIN_CLEAN_SHARE = 0.3
MAX_TRIES = 2000  # draws for one sentence, before the grammar counts as exhausted


@dataclass(frozen=True)
class SpokenSet:
    """One data directory: sentences, how they are spoken, and what is asked about each."""

    name: str  # of the data directory
    sentences: tuple[Sentence, ...]
    voices: str  # split of mini_corpus.voices: train, dev or test
    tasks: tuple[str, ...]  # one row for each task and sentence
    language: str = "en"  # what is spoken
    prefix: str = ""  # of utterance ids; sets with one prefix have the same voices, sentence by sentence
    snr_range: tuple[float, float] | None = None  # dB; None is clean
    clean_share: float = 0.0  # of a set with snr_range
    contexts: tuple[tuple[str, ...], ...] | None = None  # a list of names for each sentence
    same_audio_as: str = ""  # set whose recordings these are, with the same sentences, voices and prefix
    paraphrase: bool = False  # any wording of a task (training) instead of the evaluation wording


def draw(
    part: str,
    count: int,
    seed: str,
    *,
    names: Sequence[str] = COMMON_NAMES,
    invented_share: float = 0.0,
    need_name: bool = False,
) -> tuple[Sentence, ...]:
    """Distinct sentences of one part of mini_corpus.split, the same for the same arguments.

    Raises:
        ValueError: the grammar has not so many sentences in this part.
    """
    rng = random.Random(f"{part} {seed}")
    found: dict[str, Sentence] = {}
    tries = 0
    while len(found) < count:
        tries += 1
        if tries > MAX_TRIES * count:
            raise ValueError(f"only {len(found)} of {count} distinct sentences found for {part}; ask for fewer")
        invented = rng.random() < invented_share
        pool = invented_names(rng, 2, held_out=False) if invented else names
        sentence = generate(rng, pool, need_name=need_name or invented)
        if part_of(sentence.english) == part:
            found.setdefault(sentence.english, sentence)
    return tuple(found.values())


def invented_names(rng: random.Random, count: int, *, held_out: bool) -> list[str]:
    """Distinct invented names; held-out ones are spoken in no training, neither the encoder's nor the adapter's."""
    names: dict[str, None] = {}
    while len(names) < count:
        name = invented_name(rng)
        if is_held_out_name(name) == held_out:
            names.setdefault(name)
    return list(names)


def train_and_dev(train: int, train_spanish: int, dev: int, tasks: Sequence[str]) -> list[SpokenSet]:
    """Training and development sets, in two languages joined by the caller under one name."""
    noise = dict(snr_range=TRAIN_SNR, clean_share=TRAIN_CLEAN_SHARE)
    spanish_tasks = tuple(t for t in tasks if t in ("asr", "ast"))
    sets = []
    for name, part, english, spanish in (("train", "adapter", train, train_spanish), ("dev", "dev", dev, dev // 5)):
        share = INVENTED_SHARE if name == "train" else 0.0
        common = dict(voices=name, paraphrase=name == "train", **noise)
        for language, count, asked in (("en", english, tuple(tasks)), ("es", spanish, spanish_tasks)):
            drawn = draw(part, count, f"{name} {language}", invented_share=share)
            sets.append(SpokenSet(name, drawn, tasks=asked, language=language, prefix=f"{name}{language}", **common))
    return sets


def test_sets(count: int) -> list[SpokenSet]:
    """Every task at four noise levels, on the same sentences and voices; and Spanish speech."""
    english = draw("test", count, TEST_DRAW)
    common = dict(voices="test", tasks=ENGLISH_TASKS, prefix="test")
    sets = [SpokenSet("test_clean", english, **common)]
    sets += [SpokenSet(f"test_snr{snr}", english, snr_range=(snr, snr), **common) for snr in TEST_SNRS]
    spanish = draw("test", max(1, count * 3 // 5), f"{TEST_DRAW} es")
    return [*sets, SpokenSet("test_es", spanish, "test", ("asr", "ast"), language="es", prefix="testes")]


def name_sets(count: int) -> list[SpokenSet]:
    """Names that no training audio contains, asked with a list: dev (to set thresholds), present and absent in test."""
    rng = random.Random("name lists")
    pool = invented_names(rng, 100, held_out=True)
    dev = draw("dev", count, "dev names", names=pool, need_name=True)
    # in every other row of dev the list has none of the spoken names
    dev_lists = tuple(
        tuple(name_list(rng, s.names if i % 2 == 0 else (), [n for n in pool if n not in s.names], LIST_SIZE))
        for i, s in enumerate(dev)
    )
    rare = draw("test", count, f"{TEST_DRAW} names", names=RARE_NAMES, need_name=True)
    rare_lists = tuple(tuple(name_list(rng, s.names, RARE_NAMES, LIST_SIZE)) for s in rare)
    absent = draw("test", count, TEST_DRAW)  # the first sentences of test_clean, in the same voices
    absent_lists = tuple(tuple(name_list(rng, (), RARE_NAMES, LIST_SIZE)) for _ in absent)
    sets = [
        SpokenSet("dev_names", dev, "dev", ("asr",), prefix="devnames", contexts=dev_lists),
        SpokenSet("test_names", rare, "test", ("asr", "qa", "dialog"), prefix="testnames", contexts=rare_lists),
        SpokenSet("test_names_absent", absent, "test", ("asr",), prefix="test", contexts=absent_lists),
    ]
    spoken_in_dev = [s.names if i % 2 == 0 else () for i, s in enumerate(dev)]
    dev_long = long_lists(spoken_in_dev, [s.names for s in dev], "dev")
    rare_long = long_lists([s.names for s in rare], [s.names for s in rare], "test")
    for size in LONG_LISTS:
        for spoken, lists in ((sets[0], dev_long[size]), (sets[1], rare_long[size])):
            name = f"{spoken.name}_{size}"
            sets.append(replace(spoken, name=name, tasks=("asr",), contexts=lists, same_audio_as=spoken.name))
    return sets


def long_lists(
    listed: Sequence[Sequence[str]], spoken: Sequence[Sequence[str]], seed: str
) -> dict[int, tuple[tuple[str, ...], ...]]:
    """LONG_LISTS: size → for each sentence the names to be listed and so many invented ones, shuffled.

    Args:
        listed: per sentence, the spoken names that its list has.
        spoken: per sentence, all names that are spoken; no other list name is one of them.
        seed: of the draws. The lists of a sentence are nested.
    """
    rng = random.Random(f"long lists {seed}")
    pool: dict[str, None] = {}
    while len(pool) < 2 * max(LONG_LISTS):
        pool.setdefault(invented_name(rng))
    lists: dict[int, list[tuple[str, ...]]] = {size: [] for size in LONG_LISTS}
    for index, (names, all_spoken) in enumerate(zip(listed, spoken, strict=True)):
        rng = random.Random(f"long lists {seed} {index}")
        others = rng.sample([name for name in pool if name not in all_spoken], max(LONG_LISTS))
        for size in LONG_LISTS:
            found = [*names, *others[:size]]
            rng.shuffle(found)
            lists[size].append(tuple(found))
    return {size: tuple(found) for size, found in lists.items()}
