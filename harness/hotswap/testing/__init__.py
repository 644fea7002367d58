"""What the fixtures of the pytest plugin give to a test: a driver, its workers and swaps, and the trace of the test."""

from __future__ import annotations

from hotswap.testing.driver import Driver
from hotswap.testing.guest import GuestMachine
from hotswap.testing.swap import PendingSwap, Swap
from hotswap.testing.trace import Event, Events, Inconclusive, Trace, event
from hotswap.testing.verdict import SwapVerdict
from hotswap.testing.worker import Load, Worker

__all__ = [
    "Driver",
    "Event",
    "Events",
    "GuestMachine",
    "Inconclusive",
    "Load",
    "PendingSwap",
    "Swap",
    "SwapVerdict",
    "Trace",
    "Worker",
    "event",
]
