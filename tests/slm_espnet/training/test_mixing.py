"""Mixing by temperature: shares, streams without early repeats, batches of every kind, and what was seen."""

import math
from collections import Counter

import numpy as np
import pytest

from slm_espnet.errors import UserError
from slm_espnet.training.groups import SEEN, CountedBatches, Groups, read_groups, report_seen
from slm_espnet.training.mixing import ExampleStreams, MixedBatches, MixingOptions, expected_shares, matches
from slm_espnet.training.shapes import read_shapes
from slm_espnet.training.shaping import Shaping

SIZES = {("ami", "asr", "en"): 160, ("mls", "asr", "de"): 20, ("mls", "ast", "de_en"): 10}
GROUPS = {f"{'-'.join(group)}-{n:03d}": group for group, size in SIZES.items() for n in range(size)}
INFINITE = {"temperature": math.inf}


class Streams(ExampleStreams):
    """Of a dictionary utterance → group, and giving utterances."""

    def __init__(self, groups, options, seed):
        self.utt_ids = list(groups)
        names = sorted(set(groups.values()))
        codes = np.array([names.index(group) for group in groups.values()])
        super().__init__(np.array([u.encode() for u in groups]), codes, names, options, seed)

    def drawn(self, *arguments):
        return [self.utt_ids[number] for number in self.draw(*arguments)]


def shares(**conf):
    return list(expected_shares(SIZES, MixingOptions.from_dict(conf)).values())


def test_shares_follow_size_to_the_power_of_one_over_temperature():
    assert shares() == pytest.approx([160 / 190, 20 / 190, 10 / 190])
    assert shares(temperature=math.inf) == pytest.approx([1 / 3] * 3)
    roots = [math.sqrt(160), math.sqrt(20), math.sqrt(10)]
    assert shares(temperature=2) == pytest.approx([root / sum(roots) for root in roots])
    assert shares(temperature="inf", weights={"mls": 0.5, "*/ast": 4, "ami/asr/en": 0}) == pytest.approx([0, 0.2, 0.8])


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ({"temprature": 2}, "unknown key.*temprature; known: temperature, weights"),
        ({"temperature": 0}, "above 0"),
        ({"temperature": math.nan}, "above 0"),
        ({"temperature": "warm"}, "are numbers"),
        ({"weights": {"ami": -1}}, "0 or more"),
        ({"weights": ["ami"]}, "weights must map"),
        ({"weights": {"wsj": 2}}, "no group fits 'wsj'; there are ami/asr/en, mls/asr/de"),
        ({"weights": {"*": 0}}, "no group to train on"),
    ],
)
def test_wrong_mixing_is_named(conf, message):
    with pytest.raises(UserError, match=f"mixing_conf.*{message}"):
        shares(**conf)


def test_patterns():
    assert matches("ami/asr/en", "ami") and matches("ami/asr/en", "*/asr") and matches("ami/asr/en", "a*/asr/en")
    assert not matches("amiable/asr/en", "ami") and not matches("ami/asr_biasing/en", "*/asr")


def test_every_epoch_has_its_shares_and_no_example_repeats_before_all_were_seen():
    streams = Streams(GROUPS, MixingOptions(math.inf), seed=5)
    epochs = [streams.drawn(epoch, 50) for epoch in range(1, 7)]
    for drawn in epochs:
        assert len(drawn) == 50 and set(Counter(GROUPS[u] for u in drawn).values()) <= {16, 17}
    by_group = {group: [u for drawn in epochs for u in drawn if GROUPS[u] == group] for group in SIZES}
    assert [len(found) for found in by_group.values()] == [100, 100, 100], "what rounding takes, it gives back"
    for group, found in by_group.items():
        times = Counter(found).values()
        assert max(times) - (min(times) if len(times) == SIZES[group] else 0) <= 1


def test_a_group_smaller_than_one_example_an_epoch_has_its_turn():
    groups = {f"a{n}": ("big", "asr", "en") for n in range(199)} | {"b": ("small", "asr", "en")}
    streams = Streams(groups, MixingOptions(), seed=0)
    turns = [epoch for epoch in range(1, 41) if "b" in streams.drawn(epoch, 10)]
    assert len(turns) == 2 and turns[1] - turns[0] == 20


def test_the_same_seed_and_epoch_give_the_same_examples_whatever_came_before():
    options = MixingOptions(3.0)
    first = [Streams(GROUPS, options, seed=1).drawn(epoch, 64) for epoch in (1, 2, 3)]
    shuffled = dict(sorted(GROUPS.items(), key=lambda item: item[0][::-1]))
    assert Streams(shuffled, options, seed=1).drawn(3, 64) == first[2], "the order of the files does not matter"
    assert Streams(GROUPS, options, seed=2).drawn(3, 64) != first[2]
    assert first[0] != first[1]


@pytest.fixture(scope="module")
def shape_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("shapes") / "speech_shape"
    lengths = np.random.default_rng(0).integers(5, 120, size=len(GROUPS))
    path.write_text("".join(f"{u} {n},4\n" for u, n in zip(GROUPS, lengths, strict=True)))
    return path


def mixed(shape_file, options=None, num_batches=None, shard=(0, 1), **kind):
    kind = {"batch_size": 8, "batch_bins": 3000, "fold_lengths": [40], "min_batch_size": shard[1], **kind}
    streams = Streams(GROUPS, options or MixingOptions(2.0), seed=3)
    return MixedBatches(streams, read_shapes([shape_file]), Shaping(**kind), num_batches, shard)


@pytest.mark.parametrize("kind", ["unsorted", "sorted", "folded", "length", "numel"])
@pytest.mark.parametrize("num_batches", [None, 7, 90])
def test_batches_of_every_kind_keep_shares_and_number(shape_file, kind, num_batches):
    batches = mixed(shape_file, batch_type=kind, num_batches=num_batches, batch_bins=900 if kind == "length" else 3000)
    epochs = [batches.generate(epoch) for epoch in range(1, 5)]
    assert [len(epoch) for epoch in epochs] == [len(batches)] * 4
    assert num_batches is None or len(batches) == num_batches
    assert epochs[2] == mixed(
        shape_file, batch_type=kind, num_batches=num_batches, batch_bins=900 if kind == "length" else 3000
    ).generate(3), "an epoch does not depend on the epochs before"
    seen = Counter(GROUPS[u] for epoch in epochs for batch in epoch for u in batch)
    for group, share in batches.streams.shares.items():
        assert seen[group] / seen.total() == pytest.approx(share, abs=0.04)


def test_batches_are_of_similar_length_and_come_in_no_order(shape_file):
    lengths = {line.split()[0]: int(line.split()[1].split(",")[0]) for line in shape_file.open()}
    epoch = mixed(shape_file, batch_type="numel", batch_bins=3000).generate(1)
    spans = [max(map(lengths.get, batch)) - min(map(lengths.get, batch)) for batch in epoch]
    assert np.mean(spans) < 20
    means = [np.mean([lengths[u] for u in batch]) for batch in epoch]
    assert means != sorted(means) and means != sorted(means, reverse=True)
    assert any(len({GROUPS[u] for u in batch}) > 1 for batch in epoch), "a batch may hold several tasks"


def test_processes_share_each_batch(shape_file):
    whole = mixed(shape_file, batch_type="numel", num_batches=12).generate(2)
    parts = [mixed(shape_file, batch_type="numel", num_batches=12, shard=(rank, 2)).generate(2) for rank in (0, 1)]
    assert all(part for one in parts for part in one), "no process is left without work"
    joined = [sorted([*left, *right]) for left, right in zip(*parts, strict=True)]
    assert joined == [sorted(batch) for batch in whole]


def test_the_table_says_what_is_expected(shape_file):
    batches = mixed(shape_file, MixingOptions(math.inf), batch_type="unsorted", num_batches=24)
    lines = batches.describe(10).splitlines()
    assert len(lines) == 4 and "times seen in 10 epochs" in lines[0]
    assert 24 * 8 <= batches.size < 25 * 8 + 8
    drawn = batches.size / 3
    assert lines[3].split() == ["mls/ast/de_en", "10", "5.3", "%", "33.3", "%", f"{drawn:.0f}", f"{drawn:.2f}"]


def test_an_epoch_done_again_replaces_its_lines(tmp_path, caplog):
    caplog.set_level("INFO")
    asr, ast = ("mls", "asr", "de"), ("mls", "ast", "de_en")
    report_seen({asr: 3, ast: 1}, 1, tmp_path)
    report_seen({asr: 9}, 2, tmp_path)
    report_seen({asr: 2, ast: 2}, 2, tmp_path)
    rows = [line.split("\t") for line in (tmp_path / SEEN).read_text().splitlines()]
    assert rows[0] == ["epoch", "set", "task", "language", "examples", "share"]
    assert rows[1:] == [
        ["1", "mls", "asr", "de", "3", "0.7500"],
        ["1", "mls", "ast", "de_en", "1", "0.2500"],
        ["2", "mls", "asr", "de", "2", "0.5000"],
        ["2", "mls", "ast", "de_en", "2", "0.5000"],
    ]
    assert "epoch 1: examples seen: mls/asr/de 3 (75.0 %), mls/ast/de_en 1 (25.0 %)" in caplog.text


def test_groups_come_from_the_data_directories(tmp_path):
    for place, task in (("x/train", "asr"), ("y/train", "ast")):
        directory = tmp_path / place
        directory.mkdir(parents=True)
        tables = {"wav.scp": "a.wav", "text": "hi", "utt2task": task, "utt2lang": "de"}
        if task == "ast":
            tables["utt2target_lang"] = "en"
        for name, value in tables.items():
            (directory / name).write_text(f"{task}1 {value}\n{task}2 {value}\n")
    (tmp_path / "shape").write_text("asr1 5\nast2 6\n")
    paths = [f"{tmp_path}/x/train::e1 {tmp_path}/y/train::e2"]
    groups = read_groups(paths, read_shapes([tmp_path / "shape"]), tmp_path / "shape")
    expected = [(f"{tmp_path}/x/train", "asr", "de"), (f"{tmp_path}/y/train", "ast", "de_en")]
    assert [groups.names[code] for code in groups.codes] == groups.of(["asr1", "ast2"]) == expected
    (tmp_path / "other").write_text("asr1 5\nstranger 6\n")
    with pytest.raises(UserError, match="1 utterance.*stranger for one.*stages 2 and 3"):
        read_groups(paths, read_shapes([tmp_path / "other"]), tmp_path / "other")


def test_what_was_trained_on_is_counted_and_not_what_was_only_loaded():
    groups = Groups(np.zeros(2), [("s", "asr", "en"), ("s", "ast", "en_de")], {})
    groups.of = lambda utt_ids: [groups.names[utt_id == "b"] for utt_id in utt_ids]
    batches = CountedBatches([(["a", "b"], {}), (["a"], {})], groups)
    assert [utt_ids for utt_ids, _ in batches] == [["a", "b"], ["a"]] and len(batches) == 2
    assert not batches.counts
    batches.count(["a", "b"])
    batches.count(["a"])
    assert batches.counts == {("s", "asr", "en"): 2, ("s", "ast", "en_de"): 1}
