"""Further endpoint drivers in the guest that the tests of a process share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hotswap.swap.lab import Lab
from hotswap.testing.guest import GuestMachine


@pytest.fixture
def endpoint(lab: Lab, machine: GuestMachine) -> Callable[[str], str]:
    """Puts an endpoint driver of the build (`slow-callback`) into the guest of `lab` and returns its service."""

    def service_of(name: str) -> str:
        assert machine.lab() is lab
        service = machine.deploy(name).service
        assert service is not None
        return service

    return service_of
