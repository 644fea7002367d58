"""Collects what is seen while a swap test runs, and makes the witnesses of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PureWindowsPath
from typing import Any

from hotswap.deadline import Deadline
from hotswap.driver.package import HOST, PROXY, DeployedImage, DriverPackage
from hotswap.errors import LabFault
from hotswap.swap.lab import HOST_OBJECTS, Closed, Lab
from hotswap.swap.witnesses import (
    ImageSnapshot,
    RingStats,
    SwapWitnesses,
    ThreadCounts,
    UpdateReply,
    WorkerDefinition,
)

_TICKS = (
    "begin",
    "loaded",
    "pre_process",
    "stalled",
    "first_held",
    "drained",
    "switched",
    "released",
    "post_process",
    "unloaded",
    "end",
)


@dataclass(slots=True)
class Observations:
    """Filled in as the run goes on; what is not filled in was not seen."""

    expected_versions: list[int] = field(default_factory=list)
    exercised: list[bool] = field(default_factory=list)
    in_force: DeployedImage | None = None
    workers: list[WorkerDefinition] = field(default_factory=list)
    updates: list[UpdateReply] = field(default_factory=list)
    snapshots: list[ImageSnapshot] = field(default_factory=list)
    final_states: dict[int, int] = field(default_factory=dict)
    middle_counters: dict[str, int] | None = None
    final_counters: dict[str, int] | None = None
    threads_baseline: int | None = None
    threads_working: int | None = None
    threads_stopped: int | None = None
    host_alive: bool | None = None
    host_end: str = ""
    faults: list[str] = field(default_factory=list)
    closed: Closed | None = None
    all_states_seen: bool = False
    looks: int = 0
    """How many times the loaded images should be looked at."""
    clock_problem: str = ""
    """As in the witnesses."""

    def note_update(self, reply: Any, image: DeployedImage, *, exercised: bool) -> None:
        """An update was answered: what should be in force now. `exercised`: there will be load on it."""
        self.updates.append(dataclasses.replace(update_reply(reply), image=image.image.name))
        if not reply.status.succeeded:
            return
        self.in_force = image
        # An image that names no version in its header tells it.
        self.expected_versions.append(int(image.image.version.partition(".")[0] or 0) or reply.to_version)
        self.exercised.append(exercised)

    @property
    def image_in_force(self) -> str:
        """File name of the endpoint driver that should be loaded; empty: none."""
        return "" if self.in_force is None else PureWindowsPath(self.in_force.guest_path).name

    def note_host(self, lab: Lab, *, seconds: float = 0.0) -> None:
        """Whether the driver host lives and goes on to for `seconds`; the first death stays."""
        if lab.host is None or self.host_alive is False:
            return
        self.host_alive = not lab.host_ends_within(seconds)
        if not self.host_alive:
            crash = lab.crash()
            how = f": {crash.headline}" if crash else ""
            self.host_end = f"process {lab.host.process.pid} ended before it was asked to{how}"

    def note_clock(self, lab: Lab, deadline: Deadline) -> None:
        """Whether the guest's clocks are still fit; the first finding stays, and a guest that is gone has none."""
        if self.clock_problem or lab.machine.alive() is not None:
            return
        try:
            self.clock_problem = lab.machine.clock_problem(deadline) or ""
        except LabFault as error:
            self.clock_problem = f"the guest's clock could not be checked at the end: {error}"

    def witnesses(self, package: DriverPackage, hold_budget_ms: float) -> SwapWitnesses:
        """What the expectations get to see."""
        stats = self.closed.trace if self.closed else None
        counts = (self.threads_baseline, self.threads_working, self.threads_stopped)
        known = [count for count in counts if count is not None]
        # A guest that tests share may have other drivers in it, whose coming and going is no matter of this one.
        fixed = [image for image in package.images if image.image.name in (PROXY, HOST)]
        return SwapWitnesses(
            expected_versions=tuple(self.expected_versions),
            exercised=tuple(self.exercised),
            hold_budget_ms=hold_budget_ms,
            endpoint_images=_file_names(package.endpoints),
            host_images=_file_names(fixed),
            serviced_images=_file_names(image for image in (*fixed, *package.endpoints) if image.service is not None),
            host_objects=tuple(HOST_OBJECTS),
            looks=self.looks,
            workers=tuple(self.workers) or None,
            updates=tuple(self.updates) or None,
            middle_counters=self.middle_counters,
            final_counters=self.final_counters,
            final_states=self.final_states if self.all_states_seen else None,
            ring=RingStats(stats.written, stats.dropped, stats.events) if stats else None,
            trace_stop_error=self.closed.trace_error if self.closed else None,
            snapshots=tuple(self.snapshots) or None,
            threads=ThreadCounts(*known) if len(known) == len(counts) else None,
            driver_host_alive=self.host_alive,
            driver_host_end=self.host_end,
            guest_faults=tuple(self.faults),
            clock_problem=self.clock_problem,
        )


def update_reply(reply: Any) -> UpdateReply:
    """HOTSWAP_UPDATE_REPLY as a witness."""
    return UpdateReply(
        status=int(reply.status),
        status_name=str(reply.status),
        from_version=reply.from_version,
        to_version=reply.to_version,
        unload_status=int(reply.unload_status),
        rolled_back=bool(reply.rolled_back),
        held_calls=reply.held_calls,
        ticks={name: getattr(reply, name) for name in _TICKS},
    )


def _file_names(images: Iterable[DeployedImage]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(PureWindowsPath(image.guest_path).name for image in images))


def counters(reply: Any) -> dict[str, int]:
    """HOTSWAP_COUNTERS by the member names of the contract."""
    return {
        "".join(part.capitalize() for part in name.split("_")): value
        for name, value in dataclasses.asdict(reply).items()
    }
