"""Errors that a user can mend: printed as one clear line, without a traceback."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable

from slm_espnet.compat import stand_in_for_torchaudio

CURES = {  # of what the system refuses, wherever it happens
    errno.ENOSPC: "make room and run it again",
    errno.EDQUOT: "make room (the quota is used up) and run it again",
    errno.EROFS: "the file system is read-only: choose another folder",
    errno.EACCES: "make it readable, and where it is to be written writable, or choose another folder",
}


class UserError(Exception):
    """Something in the input or the settings is wrong; the message names it and the cure."""


def run_main(main: Callable[[], int | None]) -> None:
    """Run a command, which owns its process; a UserError becomes one line on stderr and exit status 2."""
    stand_in_for_torchaudio()
    try:
        status = main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # whoever reads what is printed has enough (… | head); nothing more can be said to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)  # as bash has it of SIGPIPE
    except OSError as error:
        if error.errno not in CURES:
            raise
        print(f"error: {error.filename or 'a file'}: {error.strerror}; {CURES[error.errno]}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(status or 0)
