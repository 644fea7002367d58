"""What the fixtures of the pytest plugin give to a test: a driver, its workers and swaps, and the trace of the test.

Driver, Trace, Device, Agent and Machine are the types of the fixtures `driver`, `trace`, `device`, `agent`, `machine`.
"""

from __future__ import annotations

from hotswap.driver.host_device import HostDevice as Device
from hotswap.driver.ioctl import NtStatus
from hotswap.errors import GuestFault, UsageError
from hotswap.testing.driver import Driver
from hotswap.testing.guest import GuestMachine as Machine
from hotswap.testing.swap import PendingSwap, Swap
from hotswap.testing.trace import Events, Trace
from hotswap.testing.trace_event import Event
from hotswap.testing.verdict import SwapVerdict
from hotswap.testing.worker import Load, Worker
from hotswap.trace.rules.answer import Inconclusive
from hotswap.trace.rules.pattern import event
from hotswap.transport.agent import Agent

__all__ = [
    "Agent",
    "Device",
    "Driver",
    "Event",
    "Events",
    "GuestFault",
    "Inconclusive",
    "Load",
    "Machine",
    "NtStatus",
    "PendingSwap",
    "Swap",
    "SwapVerdict",
    "Trace",
    "UsageError",
    "Worker",
    "event",
]


def __dir__() -> list[str]:
    """For completion: what is there for tests, and none of the modules that it comes from."""
    return __all__
