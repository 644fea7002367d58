"""Processors that are never free, and threads of a driver host that hardly get one: what a quiet machine never shows.

A thread that was woken then runs much later, or in the middle of what another does.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from random import Random
from threading import Event, Thread

from hotswap.machine.proc import task_ids

_EVERY_SECONDS = 0.003
_AT_A_TIME = 6
_LOOK_AGAIN = 16
_BUSY = """
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
while True:
    pass
"""
"""Ends with its standard input, and so with whoever started it."""


@contextmanager
def starved(pid: int, seed: int, *, busy: int) -> Iterator[None]:
    """Meanwhile `busy` processes compute, and threads of process `pid` are taken at random to run after all others."""
    with ExitStack() as stack:
        for _ in range(busy):
            command = [sys.executable, "-c", _BUSY]
            process = stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE))
            stack.callback(process.kill)
        stop = Event()
        thread = Thread(target=_choose, args=(pid, Random(seed), stop), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            for tid in task_ids(pid):
                _schedule(tid, os.SCHED_OTHER)


def _choose(pid: int, random: Random, stop: Event) -> None:
    threads: list[int] = []
    for number in count():
        if number % _LOOK_AGAIN == 0:  # threads come and go, but to look takes as long as a step of a test
            threads = sorted(task_ids(pid))
        for tid in random.sample(threads, min(_AT_A_TIME, len(threads))):
            _schedule(tid, random.choice((os.SCHED_IDLE, os.SCHED_OTHER)))
        if stop.wait(_EVERY_SECONDS):
            return


def _schedule(tid: int, policy: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # it has ended; or may not be lifted again
        os.sched_setscheduler(tid, policy, os.sched_param(0))
