"""`--self_instructions` through a recipe's stages: the LLM answers, speech is trained on it, results know."""

import pytest
import yaml
from corpus_fixtures import librispeech
from corpus_harness import TOP, Recipes, write_text

from slm_espnet.data.datadir import read_data_dir
from slm_espnet.training.self_targets import read_marker

INSTRUCTIONS = "instructions: {continuation: [continue the speech], asr: [recognize this speech in english]}\n"


@pytest.fixture(scope="module")
def answering(recipes, tmp_path_factory):
    """The tiny pair with the shipped mini LLM in the random one's place: its answers come to an end."""
    folder = tmp_path_factory.mktemp("answering")
    values = yaml.safe_load(recipes.foundation.read_text())
    values["llm_conf"] = {"model": str(TOP / "egs2/mini/foundations/llm")}
    values["prompt_conf"] = {"speech_end": "<sp>", "end": "<eos>"}
    write_text(folder / "pair.yaml", yaml.safe_dump(values))
    return Recipes(recipes.python, folder / "pair.yaml")


def test_own_answers_are_made_encoded_with_their_source_trained_on_and_marked(answering, tmp_path):
    corpus = librispeech.make(tmp_path / "LibriSpeech", utterances=2)
    instructions = write_text(tmp_path / "instructions.yaml", INSTRUCTIONS)
    options = ("--self_instructions", instructions, "--test_sets", "test_clean", "--biasing_dev_sets", "")
    options += ("--local_data_opts", "--biasing_sizes=", "--train_tasks", "asr")
    work = answering.run("librispeech", tmp_path, LIBRISPEECH=corpus, options=options)
    own = read_data_dir(tmp_path / "data/train_self")
    source = {row.audio.key: row for row in read_data_dir(tmp_path / "data/train")}
    assert own and all(row.transcript == source[row.audio.key].text for row in own)
    encodings = tmp_path / "dump/encodings/pair"
    assert (encodings / "train_self").readlink().name == "train"
    config = yaml.safe_load((tmp_path / "exp/slm_tiny/config.yaml").read_text())
    assert config["trained_tasks"] == ["asr"] and set(config["self_tasks"]) <= {"continuation"}
    seen = (tmp_path / "exp/slm_tiny/examples_seen.tsv").read_text()
    assert "\ttrain\tasr\t" in seen and "\ttrain_self\t" in seen
    assert {row["seen"] for row in work.scores()} == {True}

    stamp = (tmp_path / "data/train_self/text").stat().st_mtime_ns
    again = answering.prepare("librispeech", tmp_path, LIBRISPEECH=corpus, options=options)
    assert "train_self: already made" in again.output
    assert (tmp_path / "data/train_self/text").stat().st_mtime_ns == stamp
    assert read_marker(tmp_path / "data/train_self")["rows"] == len(own)
