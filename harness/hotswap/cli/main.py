"""Entry point: commands, and what becomes of errors. No command ends in a traceback for what its user did."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

import typer
from rich.console import Console
from typer.exceptions import TyperException

from hotswap.cli import swap as swap_command
from hotswap.cli.output import Exit
from hotswap.errors import GuestFault, HotswapError, UsageError

app = typer.Typer(no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.callback()
def _hotswap() -> None:
    """Test drivers with hot-swappable worker threads."""


app.command(name="swap")(swap_command.swap)


def main() -> NoReturn:
    """Run the command line."""
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run a command and return its exit code."""
    try:
        code: object = app(_json_to_standard_output(arguments), standalone_mode=False)
        return code if isinstance(code, int) else Exit.PASS
    except typer.Exit as end:
        return end.exit_code
    except TyperException as error:
        return _complain(error.format_message(), Exit.USAGE)
    except UsageError as error:
        return _complain(str(error), Exit.USAGE)
    except GuestFault as error:
        return _complain(str(error), Exit.FAIL)
    except HotswapError as error:
        return _complain("; ".join([str(error), *getattr(error, "__notes__", [])]), Exit.LAB_FAULT)
    except (KeyboardInterrupt, typer.Abort):
        return _complain("interrupted", Exit.INTERRUPTED)
    except BrokenPipeError:
        # The reader went away, as `head` does; nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.PASS


def _complain(message: str, code: int) -> int:
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"hotswap: {message}", markup=False)
    return code


def _json_to_standard_output(arguments: list[str]) -> list[str]:
    """`--json` without a value means standard output, also before another option."""
    result = []
    for at, argument in enumerate(arguments):
        result.append(argument)
        following = arguments[at + 1] if at + 1 < len(arguments) else None
        if argument == "--json" and (following is None or (following.startswith("-") and following != "-")):
            result.append("-")
    return result


def _terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
