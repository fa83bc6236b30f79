"""The page of an experiment: every section, hostile text, no references, a budget for audio, and missing pieces."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest
from bs4 import BeautifulSoup

from slm_espnet.bin import report
from slm_espnet.errors import UserError

from .conftest import HOSTILE

SECTIONS = (
    "overview bounds scores training length speakers names utterances cut left-out reproduce".split()
)  # fmt: skip


def text_of(page: str, section: str) -> str:
    """What stands between one heading and the next."""
    start = BeautifulSoup(page, "html.parser").find("h2", id=section)
    parts = []
    for element in start.find_next_siblings():
        if element.name == "h2":
            break
        parts.append(element.get_text(" ", strip=True))
    return " ".join(" ".join(parts).split())


class Attributes(HTMLParser):
    """Collects tags, and the attributes through which a page can load or run something."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.loaded: list[str] = []
        self.handlers: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "data", "poster", "action", "srcset"):
                self.loaded.append(value or "")
            if name.startswith("on"):
                self.handlers.append(name)


def test_page_has_every_section(experiment):
    page = experiment.make("--command", "./run.sh  --seed 3 --test_sets 'a  b'")
    assert [tag["id"] for tag in BeautifulSoup(page, "html.parser").find_all("h2")] == SECTIONS
    # 4 errors in 390 words: two by substitution, one left out, one put in
    assert "test en 1.0 0.5 … 0.0 0.917 1.000 … 1.000" in text_of(page, "overview")
    assert "asr en WER % ↓ 1.0 0.6 0.5 −0.5" in text_of(page, "scores")
    assert "qa en unseen accuracy 0.917" in text_of(page, "scores")
    training = text_of(page, "training")
    assert "train.log" in training and "Is it listening?" in training and "another's speech" in training
    assert "Learning rate" in training and "no speech" not in training  # it was reported as NaN alone
    assert "10–11" in text_of(page, "length") and "spk1" in text_of(page, "speakers")
    assert "test asr en 2 greedy 0.967" in text_of(page, "names")
    assert "1 1.4 %" in text_of(page, "cut") and "looped" in text_of(page, "cut")
    assert "training data (stage 3) speech is too long 1 utt7" in text_of(page, "left-out")
    reproduce = text_of(page, "reproduce")
    assert "./run.sh --seed 3 --test_sets 'a b'" in reproduce and "espnet version" in reproduce
    assert "hardware of scoring" in reproduce and "Git hash" in reproduce and "trained_tasks" in reproduce


def test_hostile_text_stays_text(experiment):
    page = experiment.make()
    assert "&lt;script&gt;" in page and HOSTILE in text_of(page, "utterances"), "it is shown"
    found = Attributes(page)
    assert "script" not in found.tags and "iframe" not in found.tags and not found.handlers
    assert "default-src 'none'" in page


def test_nothing_is_loaded_from_elsewhere(experiment):
    page = experiment.make()
    found = Attributes(page)
    elsewhere = [reference for reference in found.loaded if not reference.startswith(("#", "data:"))]
    assert found.loaded and not elsewhere, "links within the page, and audio"
    assert not re.search(r"url\((?!#)|@import", page), "styles load nothing"
    assert len({"link", "img", "object", "embed", "script"} & found.tags) <= 1  # the empty icon


def test_ids_are_unique_and_references_lead_somewhere(experiment):
    page = BeautifulSoup(experiment.make(), "html.parser")
    ids = [tag["id"] for tag in page.find_all(id=True)]
    assert len(ids) == len(set(ids))
    references = [tag["href"][1:] for tag in page.find_all(href=re.compile("^#"))]
    references += re.findall(r"url\(#([^)]+)\)", str(page))
    assert references and set(references) <= set(ids)


def test_worst_utterances_come_first_and_are_aligned(experiment):
    page = BeautifulSoup(experiment.make("--worst", "2", "--typical", "1"), "html.parser")
    first = page.find("ul", class_="utterances")
    names = [tag.get_text() for tag in first.select("header b")]
    assert names[:2] == ["spk0-008-asr", "spk1-009-asr"] and len(names) == 3
    entry = first.find_all("li")[1]
    assert entry.find(class_="flag").get_text() == "truncated"
    pairs = [[part.get_text() for part in pair.find_all("span")] for pair in entry.select(".pair.sub")]
    assert pairs == [["zwei", "two"], [HOSTILE, "three"]]
    assert [tag.get_text() for tag in first.find("li").select(".del, .ins")] == ["two", "nine"]


def sizes(page: str) -> list[int]:
    return [len(uri) for uri in re.findall(r'src="(data:audio/mpeg;base64,[^"]+)"', page)]


def test_audio_stays_within_its_budget(experiment):
    everything = sizes(experiment.make())
    assert len(everything) >= 4 and sum(everything) < 2_000_000
    budget = (sum(everything) - 1) // 1000
    page = experiment.make("--audio_kb", str(budget))
    assert 0 < len(sizes(page)) < len(everything) and sum(sizes(page)) <= 1000 * budget
    assert "over the budget for audio" in text_of(page, "utterances")
    page = experiment.make("--audio_kb", "0")
    assert not sizes(page) and "Audio was left out" in text_of(page, "utterances")


def test_audio_is_the_recording(experiment, tmp_path):
    import base64

    import soundfile

    page = BeautifulSoup(experiment.make(), "html.parser")
    uri = page.find("audio")["src"]
    (tmp_path / "clip.mp3").write_bytes(base64.b64decode(uri.partition(",")[2]))
    samples, rate = soundfile.read(tmp_path / "clip.mp3")
    assert rate == 16000 and 0.95 < len(samples) / rate < 1.15
    assert 0.05 < abs(samples).max() < 0.2, "a sine of amplitude 0.1"


def test_what_is_missing_is_said(experiment, capsys):
    """No training log, no baselines, no audio files, no speakers."""
    (experiment.directory.parent / "train.log").unlink()
    for path in experiment.recordings[1:]:
        path.unlink()
    (experiment.data / "utt2spk").unlink()
    page = experiment.make(baselines=False)
    overview = text_of(page, "overview")
    assert "training curves: neither training_curve.tsv nor" in overview
    assert "transcript (cascade): it was not decoded" in overview and "(bound): it was not decoded" in overview
    assert "No training curve was found" in text_of(page, "training")
    assert "No audio: missing audio." in text_of(page, "utterances")
    assert "the data do not say who speaks" in text_of(page, "speakers")


def test_page_is_made_again_from_what_scoring_left(experiment, capsys):
    first = experiment.make()
    arguments = ["--exp_dir", str(experiment.directory.parent)]
    assert report.main(arguments) == 0
    again = (experiment.directory / "report.html").read_text(encoding="utf-8")
    made = re.compile("page made [^<]+")
    assert made.sub("", again) == made.sub("", first)
    (experiment.data / "text").unlink()
    assert report.main([*arguments, "--inference_tag", "greedy"]) == 0
    page = (experiment.directory / "report.html").read_text(encoding="utf-8")
    assert "utterances of test: data/test: file text is missing" in text_of(page, "overview")
    assert "asr en WER % ↓ 1.0" in text_of(page, "scores"), "scores are there all the same"


def test_page_can_be_left_out(experiment):
    experiment.make()
    (experiment.directory / "report.html").unlink()
    with pytest.raises(FileNotFoundError):
        experiment.make("--report", "false")
    assert json.loads((experiment.directory / "results.json").read_text())


def test_errors_name_the_cure(experiment, tmp_path):
    with pytest.raises(UserError, match="no decoding was scored here .* stage 6"):
        report.main(["--exp_dir", str(experiment.directory.parent)])
    experiment.make()
    with pytest.raises(UserError, match="--worst -1 is below 0"):
        report.main(["--exp_dir", str(experiment.directory.parent), "--worst", "-1"])
    (experiment.directory / "scoring.json").write_text("{")
    with pytest.raises(UserError, match="scoring.json: not the record of a scoring"):
        report.main(["--exp_dir", str(experiment.directory.parent)])
