"""The command `hotswap`."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from hotswap.interrupt import ignore_stop_signals, raise_on_stop_signals


def main() -> NoReturn:
    """Run the command line, from the first moment at which Ctrl-C can be answered to the last."""
    code: int
    try:
        raise_on_stop_signals()
        _open_standard_streams()
        # Half a second of imports: they belong to what can be interrupted.
        from hotswap.cli.main import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        ignore_stop_signals()
        code = 130
        sys.stderr.write("hotswap: interrupted\n")
    ignore_stop_signals()
    # Python ends by SIGINT, whatever the exit code, if ever one came while a string was executed (dataclasses do that);
    # executing another makes it forget.
    exec("pass")
    sys.exit(code)


def _open_standard_streams() -> None:
    """Where one was closed (`>&-`), the next file opened would get its number, and with it what is printed."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdin = sys.stdin or os.fdopen(0)
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")
