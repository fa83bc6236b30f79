"""Errors that a user can mend: printed as one clear line, without a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable


class UserError(Exception):
    """Something in the input or the settings is wrong; the message names it and the cure."""


def run_main(main: Callable[[], int | None]) -> None:
    """Run a command; a UserError becomes one line on stderr and exit status 2."""
    try:
        status = main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(status or 0)
