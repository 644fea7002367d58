"""The pytest plugin: options and fixtures. Nothing of the harness is imported before a test asks for a fixture.

machine  the guest, one for all tests of a process, started when first needed and replaced when spent
agent    the agent in it
driver   the host driver, freshly started, with the trace running; the test has a run folder of its own
device   its device, one typed method per IOCTL
trace    the trace of the test, complete after `driver.stop()`
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from types import TracebackType

    from hotswap.driver.host_device import HostDevice
    from hotswap.testing.driver import Driver
    from hotswap.testing.guest import GuestMachine
    from hotswap.testing.record import Record
    from hotswap.testing.trace import Trace
    from hotswap.transport.agent import Agent

_DEFAULT_MACHINE = "wine"
_PACKAGE = Path(__file__).parent
_RECORD = pytest.StashKey["Record"]()
_DEBUGGED = pytest.StashKey[Exception]()
_LEFT_BEHIND = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("hotswap", "driver hot-swap tests")
    group.addoption(
        "--hotswap-machine", metavar="NAME", help=f"machine that driver tests run in (default: {_DEFAULT_MACHINE})"
    )
    group.addoption(
        "--hotswap-runs",
        metavar="FOLDER",
        help="where the run folders of driver tests go (default: $HOTSWAP_RUNS, else runs in the current folder)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a machine that there is not before any test is collected."""
    name = config.getoption("hotswap_machine")
    if name is None:
        return
    from hotswap.errors import LabFault, UsageError
    from hotswap.machine.registry import create_machine

    try:
        create_machine(name)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None
    except LabFault:
        # The machine is known and cannot run here: a matter of the tests that need it.
        return


@pytest.fixture(scope="session")
def hotswap_runs(pytestconfig: pytest.Config) -> Path | None:
    """Where run folders go; None: `$HOTSWAP_RUNS`, else `runs` in the current folder."""
    folder = pytestconfig.getoption("hotswap_runs")
    return pytestconfig.invocation_params.dir / folder if folder else None


@pytest.fixture(scope="session")
def machine(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuestMachine]:
    """The guest of this process: `current`, `agent`, `deploy`. It is started when something of it is first needed."""
    from hotswap.testing.guest import GuestMachine

    name = pytestconfig.getoption("hotswap_machine") or _DEFAULT_MACHINE
    guest = GuestMachine(name, tmp_path_factory.mktemp("hotswap-guest"), _progress(pytestconfig))
    yield guest
    guest.close()


def _progress(config: pytest.Config) -> Callable[[str], None]:
    """Says on the terminal what takes long, past the capture of output; the processes of xdist have no terminal."""
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    capture = config.pluginmanager.get_plugin("capturemanager")

    def say(line: str) -> None:
        if terminal is not None and capture is not None:
            with capture.global_and_fixture_disabled():
                terminal.write_line(f"hotswap: {line}")

    return say


@pytest.fixture
def agent(machine: GuestMachine) -> Agent:
    """The agent in the guest: files, services, devices, modules, processes, programs."""
    return machine.agent


@pytest.fixture
def driver(request: pytest.FixtureRequest, machine: GuestMachine, hotswap_runs: Path | None) -> Iterator[Driver]:
    """The host driver, freshly started, with the trace running. Stopped at the end of the test if it was not before."""
    from hotswap.testing.record import Record

    item = request.node
    record = item.stash[_RECORD] = Record(machine, hotswap_runs, item.nodeid)
    item.user_properties.append(("hotswap_run", str(record.folder.path)))
    try:
        started = record.begin()
    except BaseException as error:
        raise record.end(error, ran=False) or error from None
    yield started
    # Ended with the test's own call already, but for a test that is debugged, and one whose call never came.
    failure = item.stash.get(_DEBUGGED, None)
    record.end(failure, ran=failure is not None)


@pytest.fixture
def device(driver: Driver) -> HostDevice:
    """The host driver's device, open: one typed method per IOCTL."""
    return driver.device


@pytest.fixture
def trace(request: pytest.FixtureRequest, driver: Driver) -> Trace:
    """The trace of the test: complete, and to be read, after `driver.stop()`."""
    return _record_of(request.node).trace


def _record_of(item: pytest.Item) -> Record:
    return item.stash[_RECORD]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """End the run with the test's own call: what that brings to light is the test's failure, not a later error."""
    __tracebackhide__ = True
    record = item.stash.get(_RECORD, None)
    try:
        result = yield
    except BaseException as error:
        _explain(error)
        if record is None:
            raise
        if item.config.getoption("usepdb", False) and isinstance(error, Exception):
            # Whoever debugs wants to ask the driver.
            item.stash[_DEBUGGED] = error
            raise
        failure = record.end(error)
        if failure is None or failure is error:
            raise
        raise failure.with_traceback(error.__traceback__) from None
    failure = None if record is None else record.end(None)
    if failure is not None:
        _raise_at(item, failure)
    return result


def _explain(error: BaseException) -> None:
    """Of an assertion on the answer of a rule, show all that the answer says."""
    if isinstance(error, AssertionError) and "hotswap.trace.rules.answer" in sys.modules:
        from hotswap.trace.rules.answer import explain_assertion

        explain_assertion(error)


def _raise_at(item: pytest.Item, failure: BaseException) -> None:
    """Raise it where the test is written: no line of it is to blame, and the hooks that lead here tell nothing."""
    path, line, _ = item.reportinfo()
    code = compile("raise failure", path, "exec").replace(co_name=item.name, co_firstlineno=(line or 0) + 1)
    exec(code, {"failure": failure})


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Name the run folder of a test that failed, show the events behind it, and whose fault it is."""
    record = item.stash.get(_RECORD, None)
    if record is None or call.excinfo is None:
        return (yield)
    from hotswap.errors import GuestFault, HotswapError, LabFault
    from hotswap.machine.clock_check import ClockOff

    if isinstance(call.excinfo.value, HotswapError) and not item.config.getoption("fulltrace"):
        _forget_frames_of_ours(call.excinfo.tb)
        _forget_causes(call.excinfo.value)
    report = yield
    if call.when == "setup":
        record.end(call.excinfo.value, ran=False)
    if report.failed:
        report.sections.append(("hotswap run", record.describe()))
        # Kept as plain attributes: they travel from the processes of xdist to where reports are shown.
        for kind, name in ((ClockOff, "clock"), (LabFault, "lab"), (GuestFault, "guest")):
            if isinstance(call.excinfo.value, kind):
                vars(report)["hotswap_fault"] = name
                break
    return report


def _forget_frames_of_ours(at: TracebackType | None) -> None:
    """The message says what was attempted and what came back: the way there through the harness adds nothing.

    Nor does that through contextlib, on which the harness's own `with` blocks rest.
    """
    while at is not None:
        while at.tb_next is not None and _leads_there(Path(at.tb_next.tb_frame.f_code.co_filename)):
            at.tb_next = at.tb_next.tb_next
        at = at.tb_next


def _leads_there(file: Path) -> bool:
    return _PACKAGE in file.parents or file == Path(contextlib.__file__)


def _forget_causes(error: BaseException | None) -> None:
    """What made the harness raise is told by the message of what it raised: another traceback adds nothing."""
    from hotswap.errors import HotswapError

    while isinstance(error, HotswapError):
        if not isinstance(error.__cause__, HotswapError):
            error.__cause__, error.__suppress_context__ = None, True
        error = error.__cause__


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """A fault of the lab is an error, in whatever phase it came, and so is a clock by which nothing can be told; a
    fault of the guest is a failure.
    """
    fault = getattr(report, "hotswap_fault", None)
    if fault is None or not report.failed:
        return None
    return _FAULTS[fault]


_FAULTS = {
    "clock": ("error", "E", "INCONCLUSIVE"),
    "lab": ("error", "E", "LAB FAULT"),
    "guest": ("failed", "F", "GUEST FAULT"),
}


# Guests end with the process that made them. What is left of a process that was killed is removed at the end.


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object, error: object) -> None:
    """A process of xdist has ended; not by itself, when there is an error."""
    if error is not None:
        config: pytest.Config = node.config  # type: ignore[attr-defined]
        config.stash[_LEFT_BEHIND] = True


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Ctrl-C may have come in the one moment that no clean-up could cover."""
    if exitstatus == pytest.ExitCode.INTERRUPTED and "hotswap.machine.sweep" in sys.modules:
        session.config.stash[_LEFT_BEHIND] = True


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove what may be left; there is nothing, but for a process that was killed."""
    if config.stash.get(_LEFT_BEHIND, False):
        from hotswap.machine.sweep import remove_own, sweep

        remove_own()
        sweep()
