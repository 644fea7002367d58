"""The build, run folders of the test's own, and guests with the host driver in them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from hotswap.deadline import Deadline
from hotswap.driver.build import DriverBuild, build_drivers
from hotswap.machine.lease import leases
from hotswap.machine.proc import Owner
from hotswap.run import RunFolder
from hotswap.swap.lab import Lab
from hotswap.testing.guest import GuestMachine
from support import counts
from support.real_samples import summarize


def pytest_configure() -> None:
    """Tests send Ctrl-C, which programs ignore when they inherit that: what a script runs in the background does."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Here, because the controller of xdist loads no conftest of a folder below."""
    summarize(terminalreporter, config)
    counts.tell(terminalreporter)


@pytest.fixture(scope="session")
def build() -> DriverBuild:
    """The drivers of this checkout, from the user's own cache."""
    return build_drivers()


@pytest.fixture
def deadline() -> Deadline:
    return Deadline.after(60)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the runs of this test go."""
    home = tmp_path / "runs"
    monkeypatch.setenv("HOTSWAP_RUNS", str(home))
    return home


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """After the test this process holds no machine that it had not before: other tests may keep a guest of theirs."""

    def mine() -> set[str]:
        return {lease.id for lease in leases() if lease.owner == Owner.own().process}

    before = mine()
    yield
    assert mine() <= before, "a machine of the test was left"


@pytest.fixture(scope="session")
def hotswap_runs(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folders of this project's own tests go where pytest keeps the files of the last sessions."""
    given = pytestconfig.getoption("hotswap_runs") or os.environ.get("HOTSWAP_RUNS")
    return Path(given).resolve() if given else tmp_path_factory.mktemp("runs")


@pytest.fixture
def lab(machine: GuestMachine, tmp_path: Path) -> Iterator[Lab]:
    """The host driver, freshly started and open, without what `driver` adds; v1 and v2 are ready to be loaded."""
    run = RunFolder.create(tmp_path / "lab")
    with machine.driver(run, ("v1", "v2")) as lab:
        yield lab
        alive = lab.host is None or lab.host.alive
    run.close()
    assert alive, "the driver host died"
