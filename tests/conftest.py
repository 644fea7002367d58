"""The build, run folders of the test's own, and guests with the host driver in them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hotswap.deadline import Deadline
from hotswap.driver.build import DriverBuild, build_drivers
from hotswap.driver.package import DriverPackage
from hotswap.machine.lease import leases
from hotswap.machine.proc import Owner
from hotswap.machine.wine import WineMachine
from hotswap.run import RunFolder
from hotswap.swap.lab import Lab
from support.real_samples import summarize


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Here, because the controller of xdist loads no conftest of a folder below."""
    summarize(terminalreporter, config)


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
    """After the test this process holds the same machines as before: other tests may keep a guest of theirs."""

    def mine() -> set[str]:
        return {lease.id for lease in leases() if lease.owner == Owner.own().process}

    before = mine()
    yield
    assert mine() == before, "a machine of the test was left"


@pytest.fixture(scope="session")
def guest(build: DriverBuild, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """One guest for all tests of this process; a test that kills its driver host gets the next one a new guest."""
    guest = Guest(build, tmp_path_factory.mktemp("guest"))
    yield guest
    guest.close()


@pytest.fixture
def lab(guest: Guest, tmp_path: Path) -> Iterator[Lab]:
    """The host driver, freshly started and open; v1 and v2 are ready to be loaded."""
    lab = guest.lab()
    lab.run = RunFolder.create(tmp_path / "lab")
    lab.start_driver(Deadline.after(60))
    yield lab
    alive = lab.host is None or lab.host.alive
    faults = lab.close().faults
    lab.run.close()
    if faults or not alive:
        guest.close()
    assert alive, "the driver host died"


class Guest:
    """A started guest with the drivers deployed, made when it is first asked for."""

    def __init__(self, build: DriverBuild, folder: Path) -> None:
        self.build = build
        self.folder = folder
        self._lab: Lab | None = None

    def lab(self) -> Lab:
        if self._lab is None:
            package = DriverPackage.of(self.build, ["v1", "v2"])
            run = RunFolder.create(self.folder)
            self._lab = Lab(WineMachine(), self.build, package, run, lambda _line: None)
            try:
                self._lab.start_guest(Deadline.after(180))
            except BaseException:
                self.close()
                raise
        return self._lab

    def close(self) -> None:
        lab, self._lab = self._lab, None
        if lab is not None:
            lab.run = RunFolder.create(self.folder)
            lab.__exit__()
            lab.run.close()
