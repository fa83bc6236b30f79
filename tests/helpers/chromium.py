"""A headless browser for tests of pages: chromium by its driver, spoken to as WebDriver says. It ends in every case."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None or shutil.which("chromedriver") is None, reason="chromium and chromedriver are not installed"
)
ARGUMENTS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # WebDriver's name for a reference to an element
PATIENCE = 60  # seconds that a page has for what is waited for
# Looks again whenever the page has changed.
UNTIL = """
const done = arguments[arguments.length - 1], holds = () => { %s };
const finish = () => { observer.disconnect(); clearTimeout(late); done(true); };
const observer = new MutationObserver(() => { if (holds()) finish(); });
const late = setTimeout(() => { observer.disconnect(); done(false); }, %d);
observer.observe(document, {subtree: true, childList: true, characterData: true, attributes: true});
if (holds()) finish();
"""


class Browser:
    """A session of chromedriver."""

    def __init__(self, port: int, profile: Path, arguments: Sequence[str] = ()) -> None:
        self.address = f"http://127.0.0.1:{port}"
        chrome = {"binary": CHROMIUM, "args": [*ARGUMENTS, f"--user-data-dir={profile}", *arguments]}
        wanted = {
            "goog:chromeOptions": chrome,
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            "timeouts": {"script": 1000 * (PATIENCE + 20)},
        }
        self.session = ""
        self.session = self.post("", capabilities={"alwaysMatch": wanted})["sessionId"]

    def post(self, path: str, **body: Any) -> Any:
        """A command of the session, and its value."""
        session = f"/{self.session}" if self.session else ""
        return self._ask(urllib.request.Request(f"{self.address}/session{session}{path}", json.dumps(body).encode()))

    def _ask(self, request: urllib.request.Request) -> Any:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=PATIENCE + 40) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode("utf-8", "replace")[:500]) from error

    def close(self) -> None:
        """End the browser; a driver that is merely ended leaves it running."""
        self._ask(urllib.request.Request(f"{self.address}/session/{self.session}", method="DELETE"))

    def open(self, page: Path | str, width: int, height: int = 900) -> None:
        """Open a file or an address in a window of that size."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.post("/goog/cdp/execute", cmd="Emulation.setDeviceMetricsOverride", params=metrics)
        self.post("/url", url=page if isinstance(page, str) else page.resolve().as_uri())

    def run(self, script: str, kind: str = "sync") -> Any:
        """The value of a script; of an asynchronous one what it calls its last argument with."""
        return self.post(f"/execute/{kind}", script=script, args=[])

    def until(self, condition: str) -> None:
        """Wait until a JavaScript expression holds."""
        if not self.run(UNTIL % (f"return {condition};", 1000 * PATIENCE), "async"):
            page = self.run("return document.body.innerText")
            raise AssertionError(f"after {PATIENCE} s not: {condition}\n{page}")

    def element(self, selector: str) -> str:
        """Path of the first element of a CSS selector, once there is one."""
        self.until(f"document.querySelector({json.dumps(selector)})")
        found = self.post("/element", using="css selector", value=selector)
        return f"/element/{found[ELEMENT]}"

    def click(self, selector: str) -> None:
        """Click in its middle."""
        self.post(f"{self.element(selector)}/click")

    def type(self, selector: str, text: str) -> None:
        """Type into a field; into a file chooser the file's path."""
        self.post(f"{self.element(selector)}/value", text=text)

    def text(self, selector: str) -> str:
        """What is read there."""
        return self.run(f"return document.querySelector({json.dumps(selector)})?.innerText ?? ''")

    def requests(self) -> list[str]:
        """Addresses that pages have asked for since the last call."""
        messages = [json.loads(entry["message"])["message"] for entry in self.post("/se/log", type="performance")]
        return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]


@contextmanager
def browser(profile: Path, arguments: Sequence[str] = ()) -> Iterator[Browser]:
    """A browser; chromedriver says on which port it listens."""
    with subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True) as driver:
        try:
            line = next(line for line in driver.stdout if "started successfully on port" in line)
            with closing(Browser(int(line.rstrip().rstrip(".").rpartition(" ")[2]), profile, arguments)) as session:
                yield session
        finally:
            driver.terminate()
