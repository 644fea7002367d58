"""The conformance driver in the guest that the tests of a process share: started once, reset between tests.

with conformance_driver(machine) as c:
    c.run(...)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

from hotswap.conformance.driver import ConformanceDriver
from hotswap.conformance.replies import ResetReply
from hotswap.deadline import Deadline
from hotswap.driver.build import DriverBuild
from hotswap.driver.deploy import deploy
from hotswap.driver.package import GUEST_FOLDER, DeployedImage
from hotswap.errors import GuestFault, HotswapError
from hotswap.swap.lab import Lab
from hotswap.swap.outside import DriverHostWatch, OutsideView
from hotswap.testing.guest import GuestMachine

IMAGE = "conformance.sys"
SERVICE = "conformance"
OWNER_SERVICES = ("conformance_owner", "conformance_owner_b", "conformance_owner_c")
"""Services of one helper driver, which does nothing but to have a driver object."""
RESIDENT_SERVICE = "conformance_resident"
"""A helper driver without DriverUnload."""
V2_SERVICES = tuple(f"conformance_v2_{name}" for name in ("first", "second", "again", "missing", "changed", "cut"))
"""Helper drivers whose images list endpoints, each of its own file."""
_START_SECONDS = 60.0


@dataclass(slots=True)
class _Running:
    driver: ConformanceDriver
    host: DriverHostWatch | None


_running: WeakKeyDictionary[Lab, _Running] = WeakKeyDictionary()


def conformance_images(build: DriverBuild) -> tuple[DeployedImage, ...]:
    """The driver and its helpers, as they are deployed beside driverproxy.sys."""
    helpers = [(service, "conformance_owner.sys") for service in OWNER_SERVICES]
    helpers.append((RESIDENT_SERVICE, "conformance_resident.sys"))
    helpers += [(service, f"{service}.sys") for service in V2_SERVICES]
    placed = [(SERVICE, IMAGE), *helpers]
    return tuple(
        DeployedImage(build.driver(image), service, f"{GUEST_FOLDER}\\{service}.sys") for service, image in placed
    )


def start_conformance(lab: Lab, build: DriverBuild) -> ConformanceDriver:
    """The driver in this guest: the one that runs, or one started now. Raises GuestFault, LabFault."""
    running = _running.get(lab)
    if running is not None and running.driver.gone is None:
        return running.driver
    deadline = Deadline.after(_START_SECONDS)
    images = conformance_images(build)
    missing = [image for image in images if image not in lab.package.images]
    deploy(lab.agent, missing, deadline=deadline)
    lab.package = replace(lab.package, images=(*lab.package.images, *missing))
    lab.agent.service_start(SERVICE, deadline=deadline)
    host = DriverHostWatch.find(lab.machine, IMAGE) if isinstance(lab.machine, OutsideView) else None

    def gone() -> str | None:
        if host is not None and not host.alive:
            return "the driver host died"
        return lab.machine.alive()

    files = {deployed.service: deployed.image.path for deployed in lab.package.images if deployed.service}
    driver = ConformanceDriver(lab.agent, build.conformance, gone, files=files, deadline=deadline)
    _running[lab] = _Running(driver, host)
    lab.tenants.append(stop_conformance)
    return driver


def stop_conformance(lab: Lab) -> None:
    """Stop the driver, if it runs in this guest."""
    running = _running.pop(lab, None)
    if running is None:
        return
    try:
        if running.driver.gone is None:
            running.driver.close()
            lab.agent.service_stop(SERVICE, deadline=Deadline.after(_START_SECONDS))
    finally:
        if running.host is not None:
            running.host.close()


@contextmanager
def conformance_driver(machine: GuestMachine) -> Iterator[ConformanceDriver]:
    """The driver, reset, and reset in the end. A guest in which that fails is thrown away, and GuestFault says why."""
    driver = start_conformance(machine.lab(), machine.build)
    try:
        brought_back(driver.reset())
        yield driver
    except BaseException:
        # The first error is the one that matters.
        if (why := _unusable(driver)) is not None:
            machine.discard(why)
        raise
    if (why := _unusable(driver)) is not None:
        machine.discard(why)
        raise GuestFault(f"after the test: {why}")


def _unusable(driver: ConformanceDriver) -> str | None:
    try:
        brought_back(driver.reset())
    except HotswapError as error:
        return str(error)
    return None


def brought_back(reply: ResetReply) -> ResetReply:
    """Raise GuestFault with what a reset could not bring back."""
    stuck = {
        "lanes": reply.stuck_lanes,
        "workers": reply.stuck_workers,
        "extensions": reply.stuck_extensions,
        "helpers": reply.stuck_helpers,
    }
    told = [f"{what} {_numbers(mask)}" for what, mask in stuck.items() if mask]
    if told or not reply.status.succeeded:
        raise GuestFault(f"the reset of the conformance driver left {', '.join(told)} ({reply.status})")
    return reply


def _numbers(mask: int) -> str:
    return ", ".join(str(bit) for bit in range(mask.bit_length()) if mask >> bit & 1)
