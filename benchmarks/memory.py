"""The most memory that a part of a program takes."""

from __future__ import annotations

import re
from pathlib import Path

import torch


class Peak:
    """Within the context the most memory is watched: of a GPU what PyTorch reserves there, else of the process."""

    def __init__(self, device: str = "cpu") -> None:
        self.device = torch.device(device)
        self.mebibytes = 0.0

    def __enter__(self) -> Peak:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            Path("/proc/self/clear_refs").write_text("5")  # Linux: the largest resident set is forgotten
        return self

    def __exit__(self, *_exception: object) -> None:
        if self.device.type == "cuda":
            self.mebibytes = torch.cuda.max_memory_allocated(self.device) / 2**20
        else:
            found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
            self.mebibytes = int(found[1]) / 1024
