"""How far a long piece of work is: a line now and then."""

from __future__ import annotations

import time


class Progress:
    """A line now and then: how far, how fast, how long still."""

    def __init__(self, name: str, total: int, interval: float):
        self.name, self.total, self.interval = name, total, interval
        self.done, self.began = 0, time.monotonic()
        self.said = self.began

    def advance(self, count: int) -> None:
        """Count; print a line when the last one is old."""
        self.done += count
        if time.monotonic() - self.said >= self.interval:
            self.end()

    def end(self) -> None:
        """Print a line now."""
        self.said = time.monotonic()
        rate = self.done / max(1e-9, self.said - self.began)
        left = (self.total - self.done) / rate if rate else 0.0
        print(f"{self.name}: {self.done}/{self.total} utterances, {rate:.1f}/s, {left:.0f} s left", flush=True)
