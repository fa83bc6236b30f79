"""What uploads and downloads have in common: trying again, and errors in words that help."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TypeVar

from slm_espnet.compat import hub_errors
from slm_espnet.errors import UserError

T = TypeVar("T")
ATTEMPTS = 5
FIRST_WAIT = 1.0  # seconds; doubled after each attempt
WORTH_TRYING = (408, 409, 412, 425, 429)  # HTTP states that pass, beside those from 500


def try_again(action: Callable[[], T], what: str, source: str, attempts: int = ATTEMPTS) -> T:
    """Do something on the network until it works or cannot work. What was transferred before is not sent again.

    Args:
        action: to be called; may be called several times.
        what: for messages: "download", "upload".
        source: the repository, for messages.
        attempts: how often.

    Raises:
        UserError: it fails for good.
    """
    wait = FIRST_WAIT
    for attempt in range(1, attempts + 1):
        try:
            return action()
        except hub_errors() as error:
            if attempt == attempts or not passes(error):
                raise UserError(explain(error, what, source)) from error
            said = first_line(error)
            print(f"{what} of {source}: {said}; attempt {attempt + 1} in {wait:g} s", file=sys.stderr, flush=True)
            time.sleep(wait)
            wait *= 2
    raise AssertionError("the last attempt returns or raises")


def passes(error: Exception) -> bool:
    """Whether the same may work a little later."""
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, LocalEntryNotFoundError

    if isinstance(error, LocalEntryNotFoundError):  # not cached, and the server cannot be reached or may not be asked
        return error.__cause__ is not None and passes(error.__cause__)
    if isinstance(error, HfHubHTTPError):
        state = None if error.response is None else error.response.status_code
        return state is None or state >= 500 or state in WORTH_TRYING
    return isinstance(error, HTTPError | ConnectionError | TimeoutError)


def first_line(error: Exception) -> str:
    """The beginning of what an error says."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


def explain(error: Exception, what: str, source: str) -> str:
    """An error of the Hub, with its cure."""
    from huggingface_hub import errors

    said = first_line(error)
    log_in = "log in with `hf auth login`, set HF_TOKEN, or give a token"
    if isinstance(error, errors.GatedRepoError):
        return f"{source}: access must be asked for on its page of the Hub; then {log_in} ({said})"
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"{source} does not exist on the Hub, or is private: correct the name, or {log_in} ({said})"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{source}: the repository has no such revision; give a branch, a tag or a whole commit ({said})"
    if isinstance(error, errors.LocalEntryNotFoundError):
        return (
            f"{source} is not in the local cache, and the Hub cannot be reached or may not be asked ({said}); fetch it "
            "where there is a network (python -m slm_espnet.bin.download --output_dir DIR) and give that folder"
        )
    if isinstance(error, errors.EntryNotFoundError):
        return f"{source} is no package of slm_espnet: a file is missing there ({said})"
    response = error.response if isinstance(error, errors.HfHubHTTPError) else None
    not_allowed = response is not None and response.status_code in (401, 403)
    if not_allowed or isinstance(error, errors.LocalTokenNotFoundError):
        return f"{what} of {source} is not allowed: {log_in} that may do it ({said})"
    return f"{what} of {source} failed: {said}; run it again, it goes on where it stopped"
