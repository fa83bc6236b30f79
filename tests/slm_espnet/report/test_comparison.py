"""Several experiments on one page."""

from __future__ import annotations

import json
import re

from bs4 import BeautifulSoup

from slm_espnet.bin import compare
from slm_espnet.training.curve import write_curve

HOSTILE = "<script>alert(1)</script>"


def write(root, name, seed, wer, accuracy):
    folder = root / name
    folder.mkdir()
    base = {"set": "test", "language": "en", "count": 10, "cascade": 12.0, "bound": 0.0, "inference": "greedy"}
    rows = [
        {**base, "task": "asr", "metric": "wer", "value": wer, "seen": True, "seed": seed},
        {**base, "task": "asr", "metric": "ctc_wer", "value": 14.0, "cascade": None, "seen": True, "seed": seed},
        {**base, "task": HOSTILE, "metric": "accuracy", "value": accuracy, "cascade": 0.5, "seen": False, "seed": seed},
    ]
    (folder / "results.json").write_text(json.dumps(rows))
    return str(folder)


def test_comparison_page(tmp_path, capsys):
    experiments = [write(tmp_path, f"mixture_seed{seed}", seed, 9.0 + seed, 0.7) for seed in (1, 2, 3)]
    experiments.append(f"x{HOSTILE}=" + write(tmp_path, "linear", 1, 20.0, 0.9))
    for epoch in (1, 2):
        write_curve(tmp_path / "linear", epoch, "valid", {"loss": 3.0 / epoch})
    page = tmp_path / "out" / "all.html"
    assert compare.main([*experiments, "--html", str(page)]) == 0
    assert "|set|task|" not in capsys.readouterr().out
    soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
    assert [tag["id"] for tag in soup.find_all("h2")] == ["bounds", "training", "scores", "experiments"]
    lines = [[cell.get_text(" ", strip=True) for cell in row.find_all("td")] for row in soup.select("tbody tr")]
    assert lines[0] == ["asr en", "WER % ↓", "11.0 ± 1.0", "20.0", "12.0", "0.0"]
    assert lines[1][1] == "WER %, CTC greedy ↓"
    assert lines[2] == [f"{HOSTILE} en", "accuracy", "u 0.700 ± 0.000", "u 0.900", "0.500", "0.000"]
    assert [tag.get_text() for tag in soup.select("tbody b")] == ["11.0 ± 1.0", "0.900"], "the best of each line"
    assert not soup.find("script") and not re.search('(src|href)="https?:', str(soup))
    titles = [tag.get_text() for tag in soup.select("figure h3")]
    assert titles == ["asr", HOSTILE, "Validation loss"], "one drawing per task, and curves that exist"


def test_a_page_beside_the_table(tmp_path, capsys):
    experiment = write(tmp_path, "a", 1, 10.0, 0.5)
    page, table = tmp_path / "all.html", tmp_path / "all.md"
    assert compare.main([experiment, "--html", str(page), "--output", str(table), "--metrics", "wer"]) == 0
    assert table.read_text(encoding="utf-8").startswith("|set|task|language|metric|a (1 seed)|cascade|bound|")
    text = page.read_text(encoding="utf-8")
    assert "None of the experiments left a training curve" in text and "accuracy" not in text
