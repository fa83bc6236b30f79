"""The page in a browser, on a screen and on a telephone; left out where chromium and its driver are not there."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None or shutil.which("chromedriver") is None, reason="chromium and chromedriver are not installed"
)
ARGUMENTS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
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


class Browser:
    """A session of chromedriver, spoken to as WebDriver says."""

    def __init__(self, port: int, profile: Path) -> None:
        self.address = f"http://127.0.0.1:{port}"
        chrome = {"binary": CHROMIUM, "args": [*ARGUMENTS, f"--user-data-dir={profile}"]}
        wanted = {"goog:chromeOptions": chrome, "goog:loggingPrefs": {"browser": "ALL"}}
        self.session = ""
        self.session = self.post("", capabilities={"alwaysMatch": wanted})["sessionId"]

    def post(self, path: str, **body: Any) -> Any:
        session = f"/{self.session}" if self.session else ""
        request = urllib.request.Request(f"{self.address}/session{session}{path}", json.dumps(body).encode())
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def close(self) -> None:
        """End the browser; a driver that is merely ended leaves it running."""
        request = urllib.request.Request(f"{self.address}/session/{self.session}", method="DELETE")
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60).close()

    def open(self, page: Path, width: int) -> None:
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.post("/goog/cdp/execute", cmd="Emulation.setDeviceMetricsOverride", params=metrics)
        self.post("/url", url=page.resolve().as_uri())

    def run(self, script: str, kind: str = "sync") -> Any:
        return self.post(f"/execute/{kind}", script=script, args=[])


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """chromedriver says on which port it listens."""
    with subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True) as driver:
        try:
            line = next(line for line in driver.stdout if "started successfully on port" in line)
            with closing(Browser(int(line.rstrip().rstrip(".").rpartition(" ")[2]), profile)) as session:
                yield session
        finally:
            driver.terminate()


def test_page_fits_and_plays(experiment, tmp_path):
    experiment.make()
    page = experiment.directory / "report.html"
    with browser(tmp_path / "profile") as session:
        for width in (1280, 400):
            session.open(page, width)
            assert session.run(OVERFLOW) == [0, []], width
        assert session.run(PLAY, "async") == pytest.approx(1.0, abs=0.15)
        assert session.post("/se/log", type="browser") == [], "nothing was blocked, and nothing failed"
