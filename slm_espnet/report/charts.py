"""The drawings of a page: scores between their bounds, training curves, errors by length, speakers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullFormatter

from slm_espnet.report.curves import Curve
from slm_espnet.report.lengths import LengthBin
from slm_espnet.report.names import label_of
from slm_espnet.report.svg import (
    BOUND,
    CASCADE,
    CTC,
    FIFTH,
    GRID,
    INK,
    MUTED,
    PAPER,
    SIXTH,
    SLM,
    inline,
    panel,
    shortened,
)
from slm_espnet.scoring.metrics import LOWER_IS_BETTER, PERCENT

WIDTH = 340  # pixels of a panel: three beside each other on a screen, one on a telephone
ROW = 24  # pixels of a line in a dot plot
LETTER = 6.6  # pixels of a letter, about
LABEL = 20  # letters of a name beside an axis
MOST_DOTS = 400  # speakers of a set that are drawn
WIDTHS = (3.2, 2.2, 1.2)  # of lines, the first below the others
SERIES = (SLM, CTC, FIFTH, SIXTH)  # of configurations; cascade and bound have their own colours
MARKERS = ("o", "s", "D", "^", "v", "P")
SYSTEM_COLOURS = {"slm": SLM, "cascade": CASCADE, "bound": BOUND, "ctc_greedy": CTC}
SYSTEM_MARKERS = {"slm": "o", "cascade": "<", "bound": "|", "ctc_greedy": "x"}


@dataclass(frozen=True)
class Dot:
    """One line of a dot plot: values on one metric."""

    label: str
    values: Sequence[tuple[float | None, float | None]]  # (value, its error) of each configuration
    cascade: float | None
    bound: float | None


def between_bounds(name: str, metric: str, dots: Sequence[Dot], colours: Sequence[str] = (SLM,)) -> Markup:
    """Dots between the cascade (triangle) and the bound on the true transcript (bar), one line per condition."""
    longest = max((len(shortened(dot.label, LABEL)) for dot in dots), default=1)
    step = ROW + 8 * (len(colours) - 1)
    with panel(WIDTH, 46 + step * len(dots), left=int(14 + LETTER * longest), top=4) as (figure, axes):
        for place, dot in enumerate(dots):
            ends = [value for value in (dot.cascade, dot.bound) if value is not None]
            if len(ends) == 2:
                axes.plot(ends, [place, place], color=GRID, linewidth=6, solid_capstyle="butt", zorder=1)
            if dot.cascade is not None:
                _mark(axes, dot.cascade, place, "cascade")
            if dot.bound is not None:
                _mark(axes, dot.bound, place, "bound")
            for number, (value, error) in enumerate(dot.values):
                if value is None:
                    continue
                at = place + (number - (len(dot.values) - 1) / 2) * 8 / step
                axes.errorbar(
                    value, at, xerr=error or None, fmt=MARKERS[number % len(MARKERS)], markersize=7, zorder=4,
                    color=colours[number % len(colours)], markeredgecolor=PAPER, markeredgewidth=1, elinewidth=2,
                )  # fmt: skip
        _name_rows(axes, [dot.label for dot in dots])
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlabel(_unit(metric))
        axes.set_xlim(*_limits(metric, [value for dot in dots for value in _reach(dot)]))
        return inline(figure, name, f"{metric} of {len(dots)} conditions between cascade and bound")


def _reach(dot: Dot) -> list[float | None]:
    """Everything that a line has to show, its errors included."""
    ends = [value + side * (error or 0.0) for value, error in dot.values if value is not None for side in (-1, 1)]
    return [dot.cascade, dot.bound, *ends]


def _mark(axes: Axes, value: float, place: float, system: str) -> None:
    """A bound: hollow triangle for the cascade, bar for the true transcript."""
    colour = SYSTEM_COLOURS[system]
    style = {"markerfacecolor": PAPER, "markeredgewidth": 2} if system == "cascade" else {"markeredgewidth": 3}
    size = 7 if system == "cascade" else 14
    axes.plot(
        value, place, SYSTEM_MARKERS[system], color=colour, markeredgecolor=colour, markersize=size, clip_on=False,
        zorder=3, **style,
    )  # fmt: skip


def _name_rows(axes: Axes, labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)), [shortened(label, LABEL) for label in labels])
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)


def _unit(metric: str) -> str:
    better = "lower is better ←" if metric in LOWER_IS_BETTER else "higher is better →"
    name = label_of(metric).removesuffix(" ↓")
    return f"{name if metric in PERCENT else f'{name}, share'}, {better}"


def _limits(metric: str, values: Sequence[float | None]) -> tuple[float, float]:
    """An axis that begins at zero for error rates, and ends at the whole for shares."""
    known = [value for value in values if value is not None]
    whole = 100.0 if metric in PERCENT else 1.0
    if metric in LOWER_IS_BETTER:
        top = max([*known, whole / 20])
        return -0.04 * top, 1.08 * top
    low = max(min([*known, whole]), 0.0)
    low = 0.0 if low < 0.2 * whole else low
    room = max(whole - low, 0.05 * whole)
    return whole - 1.06 * room, whole + 0.04 * room


@dataclass(frozen=True)
class Line:
    """One line of a curve."""

    label: str
    xs: Sequence[float]
    ys: Sequence[float]
    colour: str
    dashed: bool = False


def curves(name: str, ylabel: str, lines: Sequence[Line], xlabel: str = "epoch") -> Markup:
    """Lines by epoch; a logarithmic scale where values differ by more than a factor of thirty."""
    with panel(WIDTH, 210, left=62) as (figure, axes):
        widths = WIDTHS if len(lines) <= len(WIDTHS) else (1.5,) * len(lines)
        for line, width in zip(lines, widths, strict=False):  # later ones thinner: lines on top of each other are seen
            axes.plot(
                line.xs, line.ys, color=line.colour, linestyle=(0, (3, 2)) if line.dashed else "-", linewidth=width,
                marker="o" if len(line.xs) < 25 else None, markersize=width + 1.5,
            )  # fmt: skip
        values = [y for line in lines for y in line.ys]
        if min(values) > 0 and max(values) > 30 * min(values):
            axes.set_yscale("log")
            axes.yaxis.set_minor_formatter(NullFormatter())
        elif min(values) >= 0:
            axes.set_ylim(0, 1.08 * max(values) or 1)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)
        return inline(figure, name, f"{ylabel} by {xlabel}: {', '.join(line.label for line in lines)}")


@dataclass(frozen=True)
class CurvePanel:
    """One drawing of the training, with its legend."""

    title: str
    caption: str
    drawing: Markup
    lines: Sequence[Line]


# title, caption, unit, [(label, train or valid, name of the average, colour, dashed)]
PANELS = (
    ("Loss", "What is minimized: the weighted sum of the parts.", "loss", [
        ("training", "train", "loss", SLM, True), ("validation", "valid", "loss", SLM, False)]),
    ("Parts of the loss, validation", "Cross-entropy and KL per target token, CTC per token of the LLM.", "loss", [
        ("cross-entropy", "valid", "loss_ce", SLM, False), ("CTC", "valid", "loss_ctc", CASCADE, False),
        ("KL", "valid", "loss_kl", BOUND, False)]),
    ("Parts of the loss, training", "The same while training.", "loss", [
        ("cross-entropy", "train", "loss_ce", SLM, True), ("CTC", "train", "loss_ctc", CASCADE, True),
        ("KL", "train", "loss_kl", BOUND, True)]),
    ("Is it listening?", "A model that listens is hurt by another utterance's speech, and by none at all.",
     "cross-entropy", [
        ("own speech", "valid", "loss_ce", SLM, False),
        ("another's speech", "valid", "loss_ce_shuffled", CASCADE, False),
        ("no speech", "valid", "loss_ce_empty", CTC, False)]),
    ("Length of speech embeddings", "How long they are, compared with the LLM's own token embeddings (1).", "ratio", [
        ("validation", "valid", "norm_ratio", SLM, False)]),
    ("Token accuracy", "Share of target tokens that are the most likely ones, given those before.", "share", [
        ("training", "train", "acc", SLM, True), ("validation", "valid", "acc", SLM, False)]),
    ("Learning rate", "On average over the epoch.", "rate", [
        ("learning rate", "train", "optim0_lr0", MUTED, False)]),
    ("Gradient norm", "Before clipping, on average.", "norm", [("gradient", "train", "grad_norm", MUTED, False)]),
)  # fmt: skip


def training(curve: Curve) -> list[CurvePanel]:
    """The drawings for which something was reported."""
    found = []
    for number, (title, caption, unit, wanted) in enumerate(PANELS):
        lines = [Line(label, *curve.line(part, name), colour, dashed) for label, part, name, colour, dashed in wanted]
        lines = [line for line in lines if line.xs]
        if lines:
            found.append(CurvePanel(title, caption, curves(f"curve{number}", unit, lines), lines))
    return found


def by_length(name: str, bins: Sequence[LengthBin]) -> Markup:
    """Error rate of each system by bins of length."""
    with panel(WIDTH, 200, left=46, bottom=42) as (figure, axes):
        places = range(len(bins))
        for system, colour in SYSTEM_COLOURS.items():
            values = [one.rates.get(system, math.nan) for one in bins]
            if system == "bound" or all(math.isnan(value) for value in values):
                continue
            errors = [one.error or 0.0 for one in bins] if system == "slm" else None
            axes.errorbar(
                places, values, yerr=errors, color=colour, marker=SYSTEM_MARKERS[system], markersize=6,
                linestyle="-" if system == "slm" else (0, (3, 2)), zorder=4 if system == "slm" else 3,
                markerfacecolor=colour if system == "slm" else PAPER, markeredgecolor=colour, markeredgewidth=1.5,
            )  # fmt: skip
        labels = [f"{b.shortest}–{b.longest}" if b.longest > b.shortest else f"{b.shortest}" for b in bins]
        axes.set_xticks(list(places), labels)
        axes.set_xlim(-0.4, max(len(bins) - 0.6, 0.4))
        _from_zero(axes)
        axes.set_xlabel("words of the reference")
        axes.set_ylabel("error rate in %")
        axes.grid(axis="x", visible=False)
        return inline(figure, name, f"error rate by length in {len(bins)} bins")


def _from_zero(axes: Axes) -> None:
    """An axis from zero that leaves room for the marks at zero."""
    top = max(axes.get_ylim()[1], 1.0)
    axes.set_ylim(-0.05 * top, top)


def by_list_length(name: str, lengths: Sequence[float], values: Mapping[str, Sequence[float | None]]) -> Markup:
    """B-WER of each system by the length of the list."""
    with panel(WIDTH, 200, left=46, bottom=42) as (figure, axes):
        for system, found in values.items():
            if all(value is None for value in found):
                continue
            colour = SYSTEM_COLOURS[system]
            axes.plot(
                lengths, [math.nan if value is None else value for value in found], color=colour,
                marker=SYSTEM_MARKERS[system], markersize=6, linestyle="-" if system == "slm" else (0, (3, 2)),
                markerfacecolor=colour if system == "slm" else PAPER, markeredgecolor=colour, markeredgewidth=1.5,
            )  # fmt: skip
        axes.set_xscale("log")
        axes.minorticks_off()
        axes.set_xticks(lengths, [f"{length:g}" for length in lengths])
        _from_zero(axes)
        axes.set_xlabel("names in the list")
        axes.set_ylabel("B-WER in %")
        return inline(figure, name, f"B-WER by length of the list, {len(lengths)} lengths")


def speakers(name: str, metric: str, values: Mapping[str, Sequence[float]]) -> Markup:
    """One dot per speaker, one line per condition; the bar is the median."""
    longest = max(len(shortened(label, LABEL)) for label in values)
    with panel(WIDTH, 46 + ROW * len(values), left=int(14 + LETTER * longest), top=4) as (figure, axes):
        for place, found in enumerate(values.values()):
            middle = sorted(found)[len(found) // 2]
            drawn = found[:MOST_DOTS]
            height = [place] * len(drawn)
            axes.plot(drawn, height, "o", color=SLM, alpha=0.45, markersize=7, markeredgewidth=0, zorder=3)
            axes.plot(middle, place, "|", color=INK, markersize=14, markeredgewidth=2, zorder=4)
        _name_rows(axes, list(values))
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlabel(_unit(metric))
        axes.set_xlim(*_limits(metric, [value for found in values.values() for value in found]))
        return inline(figure, name, f"{metric} of every speaker in {len(values)} conditions")
