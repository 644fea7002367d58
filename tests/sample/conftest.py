"""Further endpoint drivers in the guest that the tests of a process share."""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakKeyDictionary

import pytest

from hotswap.deadline import Deadline
from hotswap.driver.build import DriverBuild
from hotswap.driver.deploy import deploy
from hotswap.driver.package import DriverPackage
from hotswap.swap.lab import Lab
from hotswap.transport.agent import Agent

EndpointService = Callable[[str], str]


@pytest.fixture(scope="session")
def deployed() -> WeakKeyDictionary[Agent, set[str]]:
    """The services that a guest has beside those of its lab: a guest is gone with its agent."""
    return WeakKeyDictionary()


@pytest.fixture
def endpoint(
    lab: Lab, build: DriverBuild, deadline: Deadline, deployed: WeakKeyDictionary[Agent, set[str]]
) -> EndpointService:
    """Deploys an endpoint driver of the build (`slow-callback`) when the guest has it not, and returns its service."""

    def service_of(name: str) -> str:
        (place,) = DriverPackage.of(build, [name]).endpoints
        there = deployed.setdefault(lab.agent, {"hotswap_v1", "hotswap_v2"})
        assert place.service is not None
        if place.service not in there:
            deploy(lab.agent, [place], deadline=deadline)
            there.add(place.service)
        return place.service

    return service_of
