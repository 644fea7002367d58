"""Entry point: commands, and what becomes of errors. No command ends in a traceback for what its user did."""

from __future__ import annotations

import errno
import sys
import traceback

import typer
from typer.exceptions import TyperException

from hotswap.cli import conformance as conformance_command
from hotswap.cli import doctor as doctor_commands
from hotswap.cli import machine as machine_commands
from hotswap.cli import runs as runs_commands
from hotswap.cli import swap as swap_command
from hotswap.cli import trace as trace_commands
from hotswap.cli import trace_check, trace_diff, trace_export, trace_report, trace_show, trace_sql, trace_stats
from hotswap.cli.output import Exit, Terminal, forget_output
from hotswap.errors import GuestFault, HotswapError, UsageError
from hotswap.interrupt import uninterrupted
from hotswap.machine.clock_check import ClockOff

# However it was started: completion is asked for under this name (_HOTSWAP_COMPLETE).
PROGRAM = "hotswap"

app = typer.Typer(no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.callback()
def _hotswap() -> None:
    """Test drivers with hot-swappable worker threads."""


app.command(name="swap")(swap_command.swap)
app.command(name="conformance")(conformance_command.conformance)
app.add_typer(machine_commands.app, name="machine")
app.add_typer(runs_commands.app, name="runs")
app.add_typer(trace_commands.app, name="trace")
for _command in (
    trace_show.show,
    trace_stats.stats,
    trace_sql.sql,
    trace_export.export,
    trace_diff.diff,
    trace_check.check,
    trace_report.report,
):
    trace_commands.app.command()(_command)
app.command(name="doctor")(doctor_commands.doctor)
app.command(name="sweep")(doctor_commands.sweep)


def run(arguments: list[str]) -> int:
    """Run a command and return its exit code. Nothing that it made runs or is leased any more then."""
    try:
        return _run(arguments)
    finally:
        with uninterrupted():
            _remove_own()


def _remove_own() -> None:
    """All is gone already, unless an interrupt came in the one moment that no clean-up could cover."""
    if "hotswap.machine.lease" in sys.modules:
        # Only who has this module can have leased something; help and completion have not, and need not wait for it.
        from hotswap.machine.sweep import remove_own

        remove_own()


def _run(arguments: list[str]) -> int:
    try:
        code: object = app(_json_to_standard_output(arguments), prog_name=PROGRAM, standalone_mode=False)
        if code == Exit.INTERRUPTED:
            return _complain("interrupted", Exit.INTERRUPTED)
        return code if isinstance(code, int) else Exit.PASS
    except TyperException as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            # Nothing was asked for: here is what can be. typer does not export the class.
            Terminal(stderr=True).print(error.format_message(), markup=False)
            return Exit.USAGE
        return _complain(error.format_message(), Exit.USAGE)
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):
            # typer's way to end a command whose reader went away.
            return _unheard()
        # Of completion, which ends by itself and has said why: for it 1 means a shell that it does not know.
        return Exit.USAGE if error.code == 1 else Exit.PASS
    except UsageError as error:
        return _complain(_whole(error), Exit.USAGE)
    except GuestFault as error:
        return _complain(_whole(error), Exit.FAIL)
    except ClockOff as error:
        return _complain(_whole(error), Exit.INCONCLUSIVE)
    except HotswapError as error:
        return _complain(_whole(error), Exit.LAB_FAULT)
    except (KeyboardInterrupt, typer.Abort):
        return _complain("interrupted", Exit.INTERRUPTED)
    except BrokenPipeError:
        return _unheard()
    except OSError as error:
        forget_output(sys.stdout)
        code = errno.errorcode.get(error.errno or 0, "EIO")
        where = f" on {error.filename}" if error.filename else ""
        return _complain(f"a file operation failed{where}: {error.strerror or error} ({code})", Exit.LAB_FAULT)
    except MemoryError as error:
        # numpy says how much it wanted; of what this computer has not, no traceback tells more.
        return _complain(f"there is not enough memory: {str(error) or 'it is used up'}", Exit.LAB_FAULT)
    except Exception:
        # A defect of ours. Python's own exit code for it would say that the driver failed.
        traceback.print_exc()
        return _complain("internal error; please report it with the lines above", Exit.LAB_FAULT)


def _unheard() -> int:
    """The reader of help, of a list or of events went away, as `head` does; nothing more can be said to it."""
    # typer has put wrappers around both streams, which have no descriptor.
    if sys.__stdout__ is not None:
        forget_output(sys.__stdout__)
    return Exit.PASS


def _whole(error: HotswapError) -> str:
    return "; ".join([str(error), *getattr(error, "__notes__", [])])


def _complain(message: str, code: int) -> int:
    # One line, whatever is in a file name.
    Terminal(stderr=True).print(f"hotswap: {' '.join(message.split())}", markup=False)
    return code


def _json_to_standard_output(arguments: list[str]) -> list[str]:
    """`--json`, `--markdown` and `--csv` without a value mean standard output, also before another option."""
    result = []
    for at, argument in enumerate(arguments):
        result.append(argument)
        following = arguments[at + 1] if at + 1 < len(arguments) else None
        if argument in ("--json", "--markdown", "--csv") and (
            following is None or (following.startswith("-") and following != "-")
        ):
            result.append("-")
    return result
