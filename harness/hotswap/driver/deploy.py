"""Puts a driver package into a guest, and takes it out again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from hotswap.deadline import Deadline
from hotswap.driver.package import DeployedImage
from hotswap.errors import GuestFault, HotswapError
from hotswap.transport.replies import ServiceState, ServiceStatus


class DeployAgent(Protocol):
    """What deployment needs of the agent."""

    def put(self, source: Path, guest_path: str, *, deadline: Deadline) -> str:
        """Copy a file into the guest and return the SHA-256 (hex) of what has arrived."""
        ...

    def remove(self, guest_path: str, *, deadline: Deadline) -> None:
        """Remove a file of the guest."""
        ...

    def service_find(self, name: str, *, deadline: Deadline) -> ServiceState | None:
        """A service's state; None when there is none of that name."""
        ...

    def service_create(self, name: str, guest_path: str, *, deadline: Deadline) -> None:
        """Create a kernel driver service, started on demand."""
        ...

    def service_delete(self, name: str, *, deadline: Deadline) -> None:
        """Delete a service."""
        ...


def deploy(agent: DeployAgent, images: Sequence[DeployedImage], *, deadline: Deadline) -> None:
    """Copy the images into the guest and create their services, in this order; nothing is started.

    An export driver gets no service: it lies beside its importers and is loaded with them. What a run could not take
    out again, because its guest lost power, is replaced. When a step fails, what was done before is undone as far as it
    can be, and the error goes on. Raises GuestFault when a file arrives changed, or a service is in another's use.
    """
    for left in reversed(_leftovers(agent, images, deadline)):
        agent.service_delete(left, deadline=deadline)
    done: list[DeployedImage] = []
    try:
        for deployed in images:
            # Only what was made here is undone.
            done.append(replace(deployed, service=None))
            arrived = agent.put(deployed.image.path, deployed.guest_path, deadline=deadline)
            if arrived != deployed.image.sha256:
                raise GuestFault(
                    f"copying {deployed.image.path} to {deployed.guest_path}: SHA-256 {arrived} arrived "
                    f"instead of {deployed.image.sha256}; was the file changed after the package had been made?"
                )
            if deployed.service is not None:
                agent.service_create(deployed.service, deployed.guest_path, deadline=deadline)
                done[-1] = deployed
    except HotswapError as error:
        for failure in undeploy(agent, done, deadline=deadline):
            error.add_note(f"undoing the deployment: {failure}")
        raise


def _leftovers(agent: DeployAgent, images: Sequence[DeployedImage], deadline: Deadline) -> list[str]:
    """Services that are there already, stopped, and would start these very files."""
    found = []
    for deployed in images:
        state = agent.service_find(deployed.service, deadline=deadline) if deployed.service is not None else None
        if state is None:
            continue
        if state.status is not ServiceStatus.STOPPED or _plain(state.binary_path) != _plain(deployed.guest_path):
            raise GuestFault(
                f"deploying {deployed.image.path.name}: the service {state.name} is there already, "
                f"{state.status.name.lower()}, and starts {state.binary_path}: it is another's; "
                f"stop and delete it (sc stop {state.name}, sc delete {state.name}), or use a fresh guest"
            )
        found.append(state.name)
    return found


def _plain(path: str) -> str:
    """The service manager keeps a driver's path as an object name, and one below the system's folder relative to it."""
    path = path.lower().removeprefix("\\??\\")
    below = path.removeprefix("\\systemroot\\")
    return f"c:\\windows\\{below}" if below != path or path.startswith("system32\\") else path


def undeploy(agent: DeployAgent, images: Sequence[DeployedImage], *, deadline: Deadline) -> tuple[str, ...]:
    """Delete services and files, the last deployed first; the drivers are stopped already.

    Goes on after a failure and returns one line for each.
    """
    failures = []
    for deployed in reversed(images):
        try:
            if deployed.service is not None:
                agent.service_delete(deployed.service, deadline=deadline)
        except HotswapError as error:
            failures.append(f"deleting the service {deployed.service}: {error}")
        try:
            agent.remove(deployed.guest_path, deadline=deadline)
        except HotswapError as error:
            failures.append(f"removing {deployed.guest_path}: {error}")
    return tuple(failures)
