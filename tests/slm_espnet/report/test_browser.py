"""The page in a browser, on a screen and on a telephone; left out where chromium and its driver are not there."""

from __future__ import annotations

import pytest
from chromium import browser, needs_chromium

pytestmark = needs_chromium
# What sticks out of the page, though nothing around it scrolls.
OVERFLOW = """
const scrolls = e => e && (e.matches('.scroll, pre') || scrolls(e.parentElement));
document.querySelectorAll('details').forEach(d => d.open = true);
const page = document.documentElement;
return [page.scrollWidth - page.clientWidth, [...document.querySelectorAll('body *')]
    .filter(e => !scrolls(e) && e.getBoundingClientRect().right > page.clientWidth + 1)
    .map(e => e.outerHTML.slice(0, 80))];
"""
# Whether a recording plays: its length in seconds, or the error.
PLAY = """
const done = arguments[0], audio = document.querySelector('audio');
audio.onloadedmetadata = () => done(audio.duration); audio.onerror = () => done(audio.error.message); audio.load();
"""


def test_page_fits_and_plays(experiment, tmp_path):
    experiment.make()
    page = experiment.directory / "report.html"
    with browser(tmp_path / "profile") as session:
        for width in (1280, 400):
            session.open(page, width)
            assert session.run(OVERFLOW) == [0, []], width
        assert session.run(PLAY, "async") == pytest.approx(1.0, abs=0.15)
        assert session.post("/se/log", type="browser") == [], "nothing was blocked, and nothing failed"
