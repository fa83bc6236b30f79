"""HTML from the templates. Every text is escaped; nothing on a page is fetched or run.

Utterance ids, hypotheses, prompts and names of sets are what data and models say, so they are not trusted: jinja2
escapes all of them, the page has no script, and its content security policy forbids scripts and the network.
"""

from __future__ import annotations

import functools
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from slm_espnet.report.names import gain, label_of, number
from slm_espnet.report.svg import COLOURS
from slm_espnet.report.tables import state_of
from slm_espnet.scoring.metrics import LOWER_IS_BETTER
from slm_espnet.scoring.report import MOST_SPEAKERS

SYSTEM_NAMES = {"slm": "SLM", "cascade": "cascade", "bound": "bound", "ctc_greedy": "CTC greedy"}


def templates(package: str) -> jinja2.Environment:
    """The templates of a package, escaping everything that is not Markup; an unknown name is an error."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader(package),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@functools.cache
def environment() -> jinja2.Environment:
    """The templates of reports, and what they know."""
    made = templates("slm_espnet.report")
    made.filters.update(number=number, gain=gain, metric=label_of, state=state_of)
    made.globals.update(system_names=SYSTEM_NAMES, lower_is_better=LOWER_IS_BETTER, colours=COLOURS)
    made.globals.update(most_speakers=MOST_SPEAKERS)
    return made


def render(template: str, **values: Any) -> str:
    """A whole page."""
    return environment().get_template(template).render(style=Markup(colours() + style()), **values)


def colours() -> str:
    """CSS of the colours of pages and figures, light and dark."""
    return _template("colours.css")


def style() -> str:
    """CSS of the pages, without the colours."""
    return _template("style.css")


def _template(name: str) -> str:
    return resources.files("slm_espnet.report").joinpath("templates", name).read_text(encoding="utf-8")
