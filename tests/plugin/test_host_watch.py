"""Whose fault a failed call is, when the driver host's end is slow to be seen."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from hotswap.codes import CodeTable
from hotswap.errors import GuestFault
from hotswap.swap.observe import Observations
from hotswap.testing.watch import HostWatch
from hotswap.transport.agent import AgentError

FILE_DELETED, NOT_SUPPORTED = 0xC0000123, 0xC00000BB


class SlowlyDying:
    """A driver host of a very busy computer: its device is gone already, and its process ends after `seconds`."""

    def __init__(self, seconds: float) -> None:
        self.process = SimpleNamespace(pid=7)
        self.seconds = seconds

    def ended_within(self, seconds: float) -> bool:
        self.seconds -= seconds
        return self.seconds <= 0

    @property
    def alive(self) -> bool:
        return not self.ended_within(0)


def fault(host: SlowlyDying, code: int, ntstatus: int) -> str:
    lab: Any = SimpleNamespace(
        host=host, host_ends_within=host.ended_within, crash=lambda: None, blame=lambda _error: None
    )
    with pytest.raises(GuestFault) as caught, HostWatch(lab, Observations()).calling("signalling"):
        raise AgentError("IOCTL 1", "win32", code, ntstatus, "DeviceIoControl", "", CodeTable())
    return str(caught.value)


def test_a_host_whose_device_is_gone_is_given_the_time_to_end() -> None:
    assert fault(SlowlyDying(5), 5, FILE_DELETED) == (
        "signalling: the driver host died: process 7 ended before it was asked to"
    )


def test_a_request_that_was_refused_is_no_death_and_waits_for_none() -> None:
    host = SlowlyDying(5)
    assert "the driver host died" not in fault(host, 50, NOT_SUPPORTED)
    assert host.seconds == 5
