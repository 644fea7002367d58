"""Checks of the loop: wait, call, and what the routine's return value means (W15-W22)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hotswap.conformance.check import check, expect, expect_equal
from hotswap.conformance.parts import MS, TIMEOUT, WAIT_ALL, WAIT_ANY, Worker
from hotswap.conformance.rig import Rig

if TYPE_CHECKING:
    from hotswap.conformance.driver import ConformanceDriver

_ALL_ONES = 0xFFFFFFFFFFFFFFFF


@check("W15", "nothing signalled and no time-out: the routine is not called", each=(WAIT_ALL, WAIT_ANY))
def waits_first(c: ConformanceDriver, wait_type: int) -> None:
    """Another worker, created after it, runs meanwhile."""
    rig = Rig(c)
    idle = rig.worker(2, wait_type=wait_type)
    busy = rig.worker(1)
    for count in range(1, 6):
        busy.events[0].set()
        busy.wait_for(count)
    idle.expect_only(0, "nothing was signalled")
    idle.expect_alive("nothing was signalled")


@check("W15", "a wait without a time-out does not end by itself, however long it is", each=(WAIT_ALL, WAIT_ANY))
def waits_long(c: ConformanceDriver, wait_type: int) -> None:
    """With one of two events signalled where both are needed: it stays signalled all the time (W32)."""
    rig = Rig(c)
    worker = rig.worker(2, wait_type=wait_type)
    if wait_type == WAIT_ALL:
        worker.events[0].set()
    for _ in range(8):
        worker.expect_only(0, "nothing more was signalled", milliseconds=100)
        expect_equal(worker.events[0].signalled, wait_type == WAIT_ALL, "whether event 0 is signalled")
    worker.events[1].set()
    expect_equal(worker.statuses(1), [wait_type], "wait statuses")


@check("W16", "each completed wait makes one call, with the given context", each=(0, 0xFFFF_8000_1234_5678, _ALL_ONES))
def one_call_with_context(c: ConformanceDriver, context: int) -> None:
    """NULL, an address, and what is none: nobody but the routine looks at it."""
    rig = Rig(c)
    worker = rig.worker(1, context=context)
    for count in range(1, 6):
        info = worker.signal(0, count)
        expect_equal(info.last_context, context, "WorkerContext")
    worker.expect_only(5, "five waits completed")
    expect_equal(worker.info().other_context, 0, "iterations with another context")


@check("W16", "workers of one routine get each its own context")
def contexts_of_several(c: ConformanceDriver) -> None:
    """Woken in turn."""
    rig = Rig(c)
    workers = [rig.worker(1, context=0x1000 + at) for at in range(4)]
    for turn in range(1, 4):
        for at, worker in enumerate(workers):
            worker.events[0].set()
            info = worker.wait_for(turn)
            expect_equal((info.last_context, info.other_context), (0x1000 + at, 0), f"context of worker {at}")


@check("W17", "the routine gets what the wait returned, wait after wait")
def statuses_in_turn(c: ConformanceDriver) -> None:
    """Two indices, and time-outs in between."""
    rig = Rig(c)
    gate = rig.gate()
    rig.behave(gate_before=gate.number)
    worker = rig.worker(2, timeout=-2 * MS)
    # The routine stands at the gate while the next wait is made ready.
    gate.wait_for()
    for at in (1, 0, 1):
        worker.events[at].set()
        gate.let_pass()
        gate.wait_for()
    gate.let_pass()
    gate.wait_for()
    info = worker.info()
    seen = [int(status) for status in info.last_status[:5]][::-1]
    expect_equal(seen, [TIMEOUT, 1, 0, 1, TIMEOUT], "wait statuses")
    gate.open()


@check("W18", "TRUE: the thread waits again; FALSE: it ends and the routine is not called again", each=(0, 1, 5))
def returns(c: ConformanceDriver, times: int) -> None:
    """FALSE after so many times TRUE; the event is signalled once more afterwards."""
    rig = Rig(c)
    rig.return_true(times)
    worker = rig.worker(1)
    _iterate(worker, times + 1)
    worker.join()
    worker.events[0].set()
    worker.expect_only(times + 1, "the routine has ended its thread")
    expect(worker.events[0].signalled, "an event was consumed after the routine had ended the thread")


@check("W18", "TrueEndsThread: the reverse, as shipped drivers return it", on=("compat",), each=(0, 1, 5))
def returns_reversed(c: ConformanceDriver, times: int) -> None:
    """The switch's other position (reference, 4.9 a)."""
    rig = Rig(c, true_ends_thread=1)
    rig.return_true(times, inverted=True)
    worker = rig.worker(1)
    _iterate(worker, times + 1)
    worker.join()
    worker.expect_only(times + 1, "the routine has ended its thread")


@check("W18", "the thread waits again on the same objects: every event still counts")
def same_objects(c: ConformanceDriver) -> None:
    """All of them, several times around."""
    rig = Rig(c)
    worker = rig.worker(5)
    for count in range(15):
        info = worker.signal(count % 5, count + 1)
        expect_equal(info.last_status[0], count % 5, f"wait status of iteration {count + 1}")


@check("W19", "while the routine runs no other iteration of its worker begins")
def no_overlap(c: ConformanceDriver) -> None:
    """With all of its events signalled; the next ones come after it, one by one, on the same thread."""
    rig = Rig(c)
    gate = rig.gate()
    rig.behave(gate_before=gate.number)
    worker = rig.worker(3)
    worker.events[0].set()
    gate.wait_for()
    for event in worker.events:
        event.set()
    worker.expect_only(1, "the first iteration has not ended")
    for count in range(1, 4):
        gate.let_pass()
        gate.wait_for()
        expect_equal(worker.info().iterations, count + 1, "iterations that have begun")
    gate.open()
    info = worker.wait_for(4)
    expect_equal((info.overlaps, info.threads), (0, 1), "overlaps, and threads that the routine ran on")


@check("W19", "two workers do run at once, in one routine")
def workers_are_threads(c: ConformanceDriver) -> None:
    """What may not overlap is one worker with itself."""
    rig = Rig(c)
    gate = rig.gate()
    rig.behave(gate_before=gate.number)
    workers = [rig.worker(1) for _ in range(3)]
    for worker in workers:
        worker.events[0].set()
    gate.wait_for(3)
    gate.open()


@check("W21", "what a worker was created with holds for its life", each=(WAIT_ALL, WAIT_ANY))
def fixed_for_life(c: ConformanceDriver, wait_type: int) -> None:
    """Over iterations, although the start context is overwritten and options change in between."""
    rig = Rig(c)
    worker = rig.worker(2, wait_type=wait_type, context=7, timeout=-60_000 * MS)
    for count in range(1, 9):
        for event in worker.events if wait_type == WAIT_ALL else worker.events[1:]:
            event.set()
        info = worker.wait_for(count)
        expect_equal((info.last_status[0], info.last_context), (wait_type, 7), f"status and context at {count}")


@check("W21", "an option set later is for later workers: those that live keep what they have", on=("compat",))
def options_later(c: ConformanceDriver) -> None:
    """The polarity of the return value."""
    rig = Rig(c)
    old = rig.worker(1)
    rig.set_options(true_ends_thread=1)
    new = rig.worker(1)
    _iterate(old, 2)
    new.events[0].set()
    new.join()
    old.expect_alive("it is older than the option")


@check(
    "W22",
    "any non-zero byte is TRUE, whatever the rest of the register holds",
    each=(1, 2, 0x80, 0xFF, 0xDEAD0000_00000080),
)
def true_bytes(c: ConformanceDriver, value: int) -> None:
    """The thread goes on."""
    rig = Rig(c)
    rig.behave(return_value=value)
    worker = rig.worker(1)
    _iterate(worker, 3)
    worker.expect_alive(f"its routine returns 0x{value:X}")


@check(
    "W22", "a zero byte is FALSE, whatever the rest of the register holds", each=(0x100, 0xFFFFFFFF_FFFFFF00, 1 << 32)
)
def false_bytes(c: ConformanceDriver, value: int) -> None:
    """The thread ends."""
    rig = Rig(c)
    rig.behave(return_value=value)
    worker = rig.worker(1)
    _iterate(worker, 1)
    worker.join()


@check("W22", "TrueEndsThread: dirty upper bits do not matter either", on=("compat",))
def dirty_bits_reversed(c: ConformanceDriver) -> None:
    """The switch's other position."""
    rig = Rig(c, true_ends_thread=1)
    rig.behave(return_value=0xFFFFFFFF_FFFFFF00, return_limit=2, later_value=0x80)
    worker = rig.worker(1)
    _iterate(worker, 3)
    worker.join()


@check("W22", "the switch is BOOLEAN too: any non-zero value reverses the polarity", on=("compat",), each=(2, 0xFF))
def true_switch(c: ConformanceDriver, value: int) -> None:
    """TRUE ends the thread, FALSE does not."""
    rig = Rig(c, true_ends_thread=value)
    rig.return_true(2, inverted=True)
    worker = rig.worker(1)
    _iterate(worker, 3)
    worker.join()


@check("W22", "HasTimeout and Altertable are BOOLEAN too: any non-zero value is TRUE", each=(2, 0x80, 0xFF))
def true_fields(c: ConformanceDriver, value: int) -> None:
    """A time-out is one for each of them."""
    rig = Rig(c)
    rig.behave(return_value=0)
    worker = rig.worker(1, timeout=-MS, has_timeout=value, altertable=value)
    worker.join()
    expect_equal(worker.statuses(1), [TIMEOUT], "wait statuses")


def _iterate(worker: Worker, times: int) -> None:
    for count in range(1, times + 1):
        worker.signal(0, count)
