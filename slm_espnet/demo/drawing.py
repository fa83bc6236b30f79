"""The picture of what was heard: the waveform, and under it which frames were kept and which are blank."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MultipleLocator

from slm_espnet.api.results import Hearing
from slm_espnet.report.svg import CTC, GRID, MUTED, SLM, inline, panel

WIDTH, HEIGHT = 640, 210  # pixels
LEFT, RIGHT = 76, 10  # pixels beside the axes
COLUMNS = WIDTH - LEFT - RIGHT  # at most one for each pixel: a long recording is drawn as fast as a short one
ROWS = {"kept": (-0.52, -0.22), "blank": (-0.90, -0.60)}  # heights, where the waveform is from 0 to 2
MINUTE = 60.0  # seconds; from two of them on the axis counts in minutes
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)  # seconds between two of them
MOST_TICKS = 8


@dataclass(frozen=True, eq=False)
class Columns:
    """A recording in W columns of equal length."""

    edges: np.ndarray  # (W + 1,) seconds
    low: np.ndarray  # (W,) least sample, of the loudest
    high: np.ndarray  # (W,) greatest
    kept: np.ndarray  # (W,) share of the frames in the column that are kept, 0 to 1
    blank: np.ndarray | None  # (W,) likewise of blank frames; None without CTC


def columns(hearing: Hearing, most: int = COLUMNS) -> Columns:
    """Samples and frames by column; a frame counts where it has the middle of a column, and in one column at least."""
    count = min(most, len(hearing.samples))
    cuts = np.linspace(0, len(hearing.samples), count + 1)
    begins = cuts[:-1].astype(np.int64)
    peak = float(np.abs(hearing.samples).max()) or 1.0
    width = hearing.seconds / count
    begins_of, ends_of = hearing.times / width, (hearing.times + hearing.frame_shift) / width
    first = np.clip(np.ceil(begins_of - 0.5).astype(np.int64), 0, count - 1)
    last = np.clip(np.ceil(ends_of - 0.5).astype(np.int64), first + 1, count)

    def share(frames: np.ndarray) -> np.ndarray:
        every, these = (_covering(first, last, count, weights) for weights in (np.ones(len(frames)), frames))
        return these / np.maximum(every, 1)

    return Columns(
        cuts / hearing.sampling_rate,
        np.minimum.reduceat(hearing.samples, begins) / peak,
        np.maximum.reduceat(hearing.samples, begins) / peak,
        share(hearing.kept),
        None if hearing.blank is None else share(hearing.blank),
    )


def _covering(first: np.ndarray, last: np.ndarray, count: int, weights: np.ndarray) -> np.ndarray:
    """(count,) sum of the weights of the frames over each column."""
    changes = np.zeros(count + 1)
    np.add.at(changes, first, weights)
    np.add.at(changes, last, -weights.astype(np.float64))
    return np.round(changes.cumsum()[:-1])


def draw(hearing: Hearing) -> Markup:
    """The picture as an `<svg>` element, in the colours of the page."""
    found = columns(hearing)
    with panel(WIDTH, HEIGHT, left=LEFT, bottom=24, top=4, right=RIGHT) as (figure, axes):
        _waveform(axes, found)
        rows = {"kept": (found.kept, SLM), "blank": (found.blank, CTC)}
        shown = {name: pair for name, pair in rows.items() if pair[0] is not None}
        for name, (share, colour) in shown.items():
            bottom, top = ROWS[name]
            axes.axhspan(bottom, top, facecolor=GRID, alpha=0.5, linewidth=0)
            axes.stairs(bottom + (top - bottom) * share, found.edges, baseline=bottom, fill=True, color=colour)
        axes.set_yticks([1.0, *(sum(ROWS[name]) / 2 for name in shown)])
        labels = axes.set_yticklabels(["waveform", *("CTC blank" if name == "blank" else name for name in shown)])
        for label, (_, colour) in zip(labels[1:], shown.values(), strict=True):
            label.set_color(colour)
        _time(axes, hearing.seconds, bottom=ROWS[list(shown)[-1]][0])
        return inline(figure, "heard", label_of(hearing))


def _waveform(axes: Axes, found: Columns) -> None:
    """Highest and lowest sample of each column around 1, what is kept in colour."""
    is_kept = found.kept >= 0.5
    axes.axhline(1, color=GRID, linewidth=1, zorder=0)
    for colour, where in ((MUTED, ~is_kept), (SLM, is_kept)):
        high, low = (1 + np.where(where, values, 0.0) for values in (found.high, found.low))
        axes.stairs(high, found.edges, baseline=low, fill=True, color=colour)


def _time(axes: Axes, seconds: float, bottom: float) -> None:
    """The axis below: seconds, or minutes and seconds."""
    axes.set_xlim(0, seconds)
    axes.set_ylim(bottom - 0.06, 2.02)
    axes.grid(visible=False)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    in_minutes = seconds >= 2 * MINUTE
    axes.xaxis.set_major_locator(MultipleLocator(next((t for t in TICKS if seconds <= MOST_TICKS * t), seconds)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _clock(value) if in_minutes else f"{value:.3g} s"))


def _clock(seconds: float) -> str:
    return f"{int(seconds // MINUTE)}:{int(seconds % MINUTE):02d}"


def label_of(hearing: Hearing) -> str:
    """What one sees, in words."""
    share = 100 * float(np.mean(hearing.kept)) if len(hearing.kept) else 0.0
    return f"{hearing.seconds:.1f} s of speech; {share:.0f} % of its {len(hearing.kept)} frames are kept"
