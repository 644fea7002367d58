"""The clock check: a guest whose time or ticks are off is told so, with the error, and its run has no verdict."""

from __future__ import annotations

import re
from collections.abc import Callable
from time import monotonic_ns, time_ns

import pytest

from hotswap.cli.main import run
from hotswap.cli.output import Exit
from hotswap.deadline import Deadline
from hotswap.driver.build import DriverBuild
from hotswap.errors import DeadlineExpired
from hotswap.machine.clock_check import ClockOff, ClockReading, check_clock, checked_clock, later_clock_problem
from hotswap.machine.profile import load_profile
from hotswap.machine.qemu import QemuMachine
from hotswap.machine.standin_control import StandinControl
from hotswap.swap.lab import Lab
from hotswap.swap.plan import SwapPlan
from hotswap.swap.runner import run_swap
from hotswap.trace.expect import Verdict

MS = 1_000_000


def alive() -> None:
    return None


def clock(*, ahead_ms: float = 0.0, rate: float = 1.0) -> Callable[[], tuple[int, int]]:
    began = monotonic_ns()
    return lambda: (time_ns() + int(ahead_ms * MS), began + int((monotonic_ns() - began) * rate))


def reading(
    at_ms: float, *, took_ms: float = 2, guest_ms: float | None = None, ticks_ms: float | None = None
) -> ClockReading:
    begin, end = at_ms - took_ms / 2, at_ms + took_ms / 2
    guest = at_ms if guest_ms is None else guest_ms
    ticks = at_ms if ticks_ms is None else ticks_ms
    return ClockReading(*(int(one * MS) for one in (begin, end, end, guest, ticks)))


def test_each_figure_has_its_error() -> None:
    check = check_clock(reading(0), reading(1000))
    assert (check.offset_ms, check.offset_error_ms) == (0, 1)
    assert (check.rate, check.rate_error) == (1.0, 0.002)
    late = check_clock(reading(0), reading(1000, took_ms=100, guest_ms=900, ticks_ms=500))
    assert (late.offset_ms, late.offset_error_ms) == (-100, 50)
    assert (late.rate, late.rate_error) == (0.5, 0.051)


@pytest.mark.parametrize(
    ("last", "problem"),
    [
        (reading(1000, guest_ms=1249), None),
        (reading(1000, guest_ms=1252), r"time is \+252.0 ms off \(error 1.0 ms, limit 250 ms\)"),
        (reading(1000, took_ms=502), r"time is \+0.0 ms off \(error 251.0 ms, limit 250 ms\)"),
        (reading(1000, ticks_ms=951), None),
        (reading(1000, ticks_ms=940), r"ticks run at 0.9400 of the host's \(error 0.0020, limit 0.05\)"),
        (reading(20), r"ticks run at 1.0000 of the host's \(error 0.1000, limit 0.05\)"),
    ],
)
def test_what_is_over_a_limit_or_cannot_be_told_is_a_problem(last: ClockReading, problem: str | None) -> None:
    found = check_clock(reading(0), last).problem(offset_ms=250, rate=0.05)
    if problem is None:
        assert found is None
    else:
        with pytest.raises(ClockOff, match=problem):
            raise ClockOff(found)


def test_clocks_that_agree_are_told_so_at_once(deadline: Deadline) -> None:
    first, check = checked_clock(clock(), "the guest", alive, deadline)
    assert check.problem(offset_ms=250, rate=0.05) is None
    assert later_clock_problem(clock(), first, alive, deadline) is None


@pytest.mark.parametrize("wrong", [{"ahead_ms": 3_600_000}, {"ahead_ms": -400}, {"rate": 0.5}, {"rate": 1.2}])
def test_clocks_that_stay_off_are_told_with_what_is_off(wrong: dict[str, float]) -> None:
    told = "ticks run at" if "rate" in wrong else "ms off"
    with pytest.raises(ClockOff, match=f"clock check of machine x: the guest's .*{told}"):
        checked_clock(clock(**wrong), "machine x", alive, Deadline.after(0.3))


def test_a_clock_that_was_slow_to_answer_once_may_do_at_the_next_look(deadline: Deadline) -> None:
    off = iter([3_600_000.0, 3_600_000.0, 0.0, 0.0, 0.0, 0.0])
    _, check = checked_clock(lambda: (time_ns() + int(next(off) * MS), monotonic_ns()), "x", alive, deadline)
    assert abs(check.offset_ms) < 250


def test_a_machine_that_ends_meanwhile_is_no_matter_of_its_clock() -> None:
    with pytest.raises(DeadlineExpired, match="QEMU ended"):
        checked_clock(clock(ahead_ms=1e6), "x", lambda: "QEMU ended", Deadline.after(5))


@pytest.fixture
def forked(build: DriverBuild) -> QemuMachine:
    machine = QemuMachine(load_profile("standin"))
    machine.expect_agent(build.agent)
    return machine


def test_a_guest_whose_clock_goes_wrong_is_found_out(forked: QemuMachine) -> None:
    deadline = Deadline.after(300)
    with forked as machine:
        machine.start(deadline)
        assert machine.clock_problem(deadline) is None
        machine.control.ask("set-clock", time_ns() - 10_000 * MS, deadline=deadline)
        assert re.search(r"the guest's time is -(99|100)\d\d\.\d ms off \(error", machine.clock_problem(deadline) or "")
        machine.control.set_clock(deadline=deadline)
        assert machine.clock_problem(deadline) is None
        # While it stands still the counter does, too: what was measured by it in the meantime is too short.
        machine.qmp.execute("stop", deadline=deadline)
        until = Deadline.after(2)
        deadline.wait_for(lambda: until.expired, "two seconds to pass")
        machine.qmp.execute("cont", deadline=deadline)
        machine.control.set_clock(deadline=deadline)
        assert "the guest's ticks run at 0." in (machine.clock_problem(deadline) or "")


@pytest.mark.usefixtures("runs", "nothing_left")
class TestARun:
    def test_whose_guest_starts_with_a_wrong_clock_is_inconclusive(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def wrong(control: StandinControl, *, deadline: Deadline) -> None:
            control.ask("set-clock", time_ns() + 3_600_000 * MS, deadline=deadline)

        monkeypatch.setattr(StandinControl, "set_clock", wrong)
        result = run_swap(SwapPlan(machine="standin", seconds=0.2))
        assert result.verdict is Verdict.INCONCLUSIVE
        assert result.reason.startswith("clock check of machine ")
        assert re.search(r"the guest's time is \+(3599|3600)\d{3}\.\d ms off \(error .*, limit 250 ms", result.reason)
        assert result.events == 0

    def test_that_only_starts_a_machine_says_so_by_its_exit_code(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def wrong(control: StandinControl, *, deadline: Deadline) -> None:
            control.ask("set-clock", time_ns() + 3_600_000 * MS, deadline=deadline)

        monkeypatch.setattr(StandinControl, "set_clock", wrong)
        assert run(["machine", "fork", "--quiet"]) == Exit.INCONCLUSIVE
        assert re.fullmatch(r"hotswap: clock check of machine .* limit 250 ms\)\n", capsys.readouterr().err)

    def test_whose_clock_goes_wrong_on_the_way_is_inconclusive(self) -> None:
        def interfere(point: str, lab: Lab) -> None:
            if point == "load-running":
                assert isinstance(lab.machine, QemuMachine)
                later = time_ns() + 60_000 * MS
                lab.machine.control.ask("set-clock", later, deadline=Deadline.after(60))

        result = run_swap(SwapPlan(machine="standin", seconds=0.2, workers=2, rate=200), interfere=interfere)
        assert result.verdict is Verdict.INCONCLUSIVE
        assert re.search(r"the guest's time is \+(59|60)\d{3}\.\d ms off", result.reason)
        assert result.events > 0
        verdicts = {item.id: item.verdict for item in result.expectations}
        assert verdicts["evidence-complete"] is Verdict.INCONCLUSIVE
        assert Verdict.FAIL not in verdicts.values()
