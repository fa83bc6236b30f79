"""Figures by matplotlib as SVG inside the page: its text, its colours (light and dark), one unit to the pixel."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from xml.etree import ElementTree

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

PIXELS = 72  # SVG units of an inch
FONT = 12  # pixels
# Stand-ins that matplotlib draws with, and the page's colour that takes their place (templates/style.css).
COLOURS = {
    "#010101": "--ink",
    "#020202": "--muted",
    "#030303": "--grid",
    "#040404": "--slm",
    "#050505": "--cascade",
    "#060606": "--bound",
    "#070707": "--ctc",
    "#080808": "--paper",
    "#090909": "--series-5",
    "#0a0a0a": "--series-6",
}
INK, MUTED, GRID, SLM, CASCADE, BOUND, CTC, PAPER, FIFTH, SIXTH = COLOURS
STYLE = {
    "svg.fonttype": "none",  # text stays text
    "text.parse_math": False,  # names with dollars are names
    "font.family": "sans-serif",
    "font.size": FONT,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "grid.color": GRID,
    "grid.linewidth": 1,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "lines.linewidth": 2,
    "lines.markersize": 5,
    "figure.dpi": PIXELS,
    "savefig.transparent": True,
}
SVG, LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"


@contextmanager
def panel(
    width: int, height: int, left: int = 46, bottom: int = 40, top: int = 8, right: int = 12
) -> Iterator[tuple[Figure, Axes]]:
    """A figure with one pair of axes; all sizes in pixels, margins for the labels included."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width / PIXELS, height / PIXELS), dpi=PIXELS)
        figure.subplots_adjust(left / width, bottom / height, 1 - right / width, 1 - top / height)
        yield figure, figure.add_subplot()


def inline(figure: Figure, name: str, label: str) -> Markup:
    """The figure as an `<svg>` element for HTML.

    Args:
        figure: drawn with the stand-ins for colours, inside of `panel`.
        name: unique on the page; the element's ids begin with it.
        label: what one sees, for those who do not see it.
    """
    stream = io.StringIO()
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    root = ElementTree.fromstring(stream.getvalue())
    _clean(root, name)
    width, height = (float(number) for number in root.get("viewBox", "0 0 1 1").split()[2:])
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.set("style", f"width:{width:.0f}px;aspect-ratio:{width:.0f}/{height:.0f}")
    root.set("role", "img")
    root.set("aria-label", str(label))
    text = ElementTree.tostring(root, encoding="unicode")
    for colour, variable in COLOURS.items():
        text = text.replace(f": {colour}", f": var({variable})")
    return Markup(text)


def _clean(root: ElementTree.Element, name: str) -> None:
    """Without namespaces, metadata and fonts of its own; ids that are unique on the page, and only where needed."""
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag == f"{SVG}metadata":
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.removeprefix(SVG)
        for key, value in list(element.attrib.items()):
            if key == "id":
                element.set(key, f"{name}-{value}") if element.tag != "g" else element.attrib.pop(key)
            elif key == f"{LINK}href":
                element.attrib.pop(key)
                element.set("href", f"#{name}-{value.removeprefix('#')}")
            elif key == "clip-path":
                element.set(key, re.sub(r"url\(#", f"url(#{name}-", value))
            elif key == "style":
                element.set(key, _style(value, element.tag))


def _style(value: str, tag: str) -> str:
    """A style with the page's font in place of matplotlib's."""
    if tag != "text":
        return value
    size = re.search(r"([\d.]+)px", value)
    kept = [part for part in re.split(r";\s*", value) if part and not part.startswith("font")]
    weight = ["font-weight: 600"] if "bold" in value else []
    return "; ".join([f"font-size: {size[1] if size else FONT}px", *weight, *kept])


def shortened(name: str, length: int = 20) -> str:
    """A name that fits beside an axis: its middle is left out."""
    return name if len(name) <= length else f"{name[: length // 2]}…{name[-(length - length // 2 - 1) :]}"
