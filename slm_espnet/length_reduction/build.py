"""Static reductions by name."""

from __future__ import annotations

import inspect
from typing import Any

from slm_espnet.errors import UserError
from slm_espnet.length_reduction.base import AbsStaticReduction
from slm_espnet.length_reduction.ctc_blank import CTCBlankFilter
from slm_espnet.length_reduction.ctc_merge import CTCMerge
from slm_espnet.length_reduction.stack import FrameStacking, NoReduction

STATIC_REDUCTIONS: dict[str, type[AbsStaticReduction]] = {
    "ctc_blank": CTCBlankFilter,
    "ctc_merge": CTCMerge,
    "stack": FrameStacking,
    "none": NoReduction,
}


def build_static_reduction(kind: str, conf: dict[str, Any] | None = None) -> AbsStaticReduction:
    """The reduction `kind` with its settings.

    Raises:
        UserError: unknown kind, unknown setting, or a value out of range.
    """
    if kind not in STATIC_REDUCTIONS:
        trained = "; conv is trained with the adapter: set it in the training configuration" if kind == "conv" else ""
        raise UserError(f"length_reduction {kind!r} is unknown; known: {', '.join(STATIC_REDUCTIONS)}{trained}")
    conf = conf or {}
    known = [name for name in inspect.signature(STATIC_REDUCTIONS[kind]).parameters if name not in ("args", "kwargs")]
    unknown = sorted(set(conf) - set(known))
    if unknown:
        names = ", ".join(known) or "none"
        raise UserError(f"length_reduction_conf of {kind} has unknown key(s) {', '.join(unknown)}; known: {names}")
    try:
        return STATIC_REDUCTIONS[kind](**conf)
    except (ValueError, TypeError) as error:
        raise UserError(f"length_reduction_conf: {error}") from error
