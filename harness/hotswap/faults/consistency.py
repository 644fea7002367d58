"""What a power cut left of the drivers in a guest: each service and its image whole, or neither, and nothing half."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hotswap.deadline import Deadline
from hotswap.driver.package import DeployedImage
from hotswap.transport.agent import Agent, AgentError
from hotswap.transport.replies import ServiceStatus

_NO_FILE = (2, 3)


@dataclass(frozen=True, slots=True)
class Found:
    """One deployed image as it is now. `service` None: it has or there is none; `sha256` None: there is no file."""

    image: DeployedImage
    service: ServiceStatus | None
    sha256: str | None

    @property
    def whole(self) -> bool:
        """Whether the file is the one that was built."""
        return self.sha256 == self.image.image.sha256

    @property
    def lost(self) -> bool:
        """Whether it had a service, and has none now."""
        return self.image.service is not None and self.service is None

    def problems(self) -> Iterable[str]:
        """What is half."""
        path = self.image.guest_path
        if self.sha256 is not None and not self.whole:
            yield f"{path} is torn: its SHA-256 is {self.sha256}, and that of no image that was built"
        if self.service is not None and self.sha256 is None:
            yield f"the service {self.image.service} is there, and its image {path} is not"
        if self.service not in (None, ServiceStatus.STOPPED, ServiceStatus.RUNNING):
            yield f"the service {self.image.service} is {self.service.name.lower()} after the boot"


@dataclass(frozen=True, slots=True)
class Consistency:
    """All of them. `problems`: one line for each that is half; empty: consistent."""

    found: tuple[Found, ...]
    problems: tuple[str, ...]

    @property
    def told(self) -> str:
        """What there is, in one line."""
        services = [
            f"{each.image.service} {each.service.name.lower()}" for each in self.found if each.service is not None
        ]
        files = sum(each.sha256 is not None for each in self.found)
        return f"{', '.join(services) or 'no service'}; {files} of {len(self.found)} images"


def check_consistency(agent: Agent, images: Sequence[DeployedImage], deadline: Deadline) -> Consistency:
    """Ask the guest's service manager and its file system. Raises what a broken registry makes these calls raise."""
    found = tuple(Found(image, _service(agent, image, deadline), _hash(agent, image, deadline)) for image in images)
    problems = [problem for each in found for problem in each.problems()]
    # An export driver has no service: whoever imports it needs its file.
    importers = [each for each in found if each.service is not None]
    for each in found:
        if each.image.service is None and each.sha256 is None and importers:
            problems.append(f"{each.image.guest_path} is missing, and services that import it are there")
    running = [each.image.service for each in found if each.service is ServiceStatus.RUNNING]
    if running:
        problems.append(f"{' and '.join(map(str, running))} run after the boot, and are started on demand only")
    return Consistency(found, tuple(problems))


def _service(agent: Agent, image: DeployedImage, deadline: Deadline) -> ServiceStatus | None:
    if image.service is None:
        return None
    state = agent.service_find(image.service, deadline=deadline)
    return None if state is None else state.status


def _hash(agent: Agent, image: DeployedImage, deadline: Deadline) -> str | None:
    try:
        return agent.file_hash(image.guest_path, deadline=deadline)
    except AgentError as error:
        if error.code in _NO_FILE:
            return None
        raise
