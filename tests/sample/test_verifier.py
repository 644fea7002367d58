"""Endpoint drivers that leak: what each image took through its imports and did not give back is told when it leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pefile
import pytest

from hotswap.deadline import Deadline
from hotswap.driver.build import DriverBuild
from hotswap.driver.deploy import deploy, undeploy
from hotswap.driver.package import DeployedImage, DriverPackage
from hotswap.driver.preflight import preflight
from hotswap.machine.wine import WineMachine
from hotswap.swap.lab import Lab
from hotswap.trace.etl import read_etl

WAIT_ANY = 1
INVALID_IMAGE_FORMAT = 0xC000007B
PARTIAL_COPY = 0x8000000D
LEAKING = {
    "leak-entry": {"pool_blocks": 1, "pool_bytes": 256},
    "leak-event": {"events": 1},
    "leak-pool": {"pool_blocks": 1, "pool_bytes": 256},
    "leak-reference": {"references": 1},
    "leak-thread": {"threads": 1},
}
NOTHING = dict.fromkeys(("pool_blocks", "pool_bytes", "threads", "events", "handles", "references"), 0)
# What v4 imports besides.
NOT_INTERPOSED = {"KeWaitForSingleObject", "PsGetCurrentThread", "PsTerminateSystemThread", "PsThreadType"}
# What v4 calls in each iteration of worker 1; and in PreProcess and when it unloads.
CALLS_PER_ITERATION = 10
CALLS_BESIDES = 2
# What every endpoint driver imports and calls when it unloads: ExAllocatePoolWithTag and ExFreePoolWithTag.
OF_EACH = 2


@dataclass(frozen=True)
class Verified:
    """One EndpointVerified event."""

    version: int
    status: int
    imports: int
    calls: int
    left: dict[str, int]


@dataclass(frozen=True)
class Endpoints:
    """A lab and the endpoint drivers that were put into its guest for one test."""

    lab: Lab
    deadline: Deadline
    services: dict[str, str]

    def run(self, name: str, iterations: int = 3) -> None:
        """Put an endpoint driver in force and let worker 1 (made for the first) run in it."""
        reply = self.lab.device.update(service_name=self.services[name], deadline=self.deadline)
        assert reply.status == 0
        if not self.lab.device.query_counters(deadline=self.deadline).workers:
            self.lab.device.create_worker(wait_type=WAIT_ANY, event_count=1, deadline=self.deadline)
        for _ in range(iterations):
            before = self.lab.device.query_worker(worker_id=1, deadline=self.deadline).iterations
            self.lab.device.signal_event(worker_id=1, event_index=0, deadline=self.deadline)
            self.deadline.within(10).wait_for(self._ran(before), "an iteration", interval=0.002)

    def _ran(self, before: int) -> Callable[[], bool]:
        def ran() -> bool:
            info = self.lab.device.query_worker(worker_id=1, deadline=self.deadline)
            return bool(info.iterations > before and info.state == 0)

        return ran

    def leave(self) -> list[Verified]:
        """Shut the driver down and read what was told of each image, in the order in which they left."""
        self.lab.shutdown(deadline=Deadline.after(20))
        self.lab.close()
        events = read_etl(self.lab.run.trace).events.events("EndpointVerified")
        left = {name: "".join(part.capitalize() for part in name.split("_")) for name in NOTHING}
        return [
            Verified(
                *(int(events[field][row]) for field in ("Version", "Status", "Imports", "Calls")),
                {name: int(events[field][row]) for name, field in left.items()},
            )
            for row in range(len(events))
        ]


Put = Callable[..., Endpoints]


@pytest.fixture
def put(lab: Lab, build: DriverBuild, deadline: Deadline) -> Iterator[Put]:
    """Puts further endpoint drivers into the guest: names, or paths of .sys files."""
    placed: list[DeployedImage] = []

    def put(*names: str) -> Endpoints:
        package = DriverPackage.of(build, names)
        there = {image.guest_path for image in lab.package.images}
        new = [image for image in dict.fromkeys(package.endpoints) if image.guest_path not in there]
        deploy(lab.agent, new, deadline=deadline)
        placed.extend(new)
        services = {name: str(image.service) for name, image in zip(names, package.endpoints, strict=True)}
        return Endpoints(lab, deadline, services)

    yield put
    faults = lab.close().faults
    failed = undeploy(lab.agent, placed, deadline=Deadline.after(20))
    assert (faults, failed) == ((), ())


def test_a_driver_that_gives_everything_back_leaves_nothing_and_its_calls_were_seen(
    put: Put, build: DriverBuild
) -> None:
    endpoints = put("v4")
    endpoints.run("v4", iterations=3)
    imports = preflight(build.driver("hotswap_v4").path).facts["imports"]
    assert isinstance(imports, dict)
    interposed = len(set(imports["ntoskrnl.exe"]) - NOT_INTERPOSED)
    assert interposed == 8
    told = endpoints.leave()
    iterations = len(read_etl(endpoints.lab.run.trace).events.events("IterationEnd"))
    assert iterations >= 3
    calls = iterations * CALLS_PER_ITERATION + CALLS_BESIDES + OF_EACH
    assert told == [Verified(4, 0, interposed, calls, NOTHING)]


def test_drivers_that_take_nothing_leave_nothing(put: Put) -> None:
    endpoints = put("v1", "v2", "v3")
    for name in ("v1", "v2", "v3"):
        endpoints.run(name)
    assert endpoints.leave() == [Verified(version, 0, OF_EACH, OF_EACH, NOTHING) for version in (1, 2, 3)]


@pytest.mark.parametrize("name", LEAKING)
def test_a_leak_is_told_by_kind_and_amount_and_nothing_else(put: Put, name: str) -> None:
    endpoints = put(name)
    endpoints.run(name)
    (verified,) = endpoints.leave()
    assert (verified.version, verified.status) == (2, 0)
    assert verified.imports > 0
    assert verified.left == NOTHING | LEAKING[name]


def test_a_driver_whose_entry_fails_is_told_and_leaves_the_next_load_alone(put: Put, build: DriverBuild) -> None:
    # The host driver a second time: it imports the runtime as endpoint drivers do, and fails, for its device is there.
    endpoints = put(str(build.driver("hotswap").path), "v1")
    refused = endpoints.lab.device.update(service_name=endpoints.services[str(build.driver("hotswap").path)])
    assert not refused.status.succeeded
    endpoints.run("v1")
    failed, one = endpoints.leave()
    assert (failed.version, failed.status, failed.left) == (0, 0, NOTHING)
    assert failed.calls > 0, "its DriverEntry was seen"
    assert one == Verified(1, 0, OF_EACH, OF_EACH, NOTHING)


def test_images_side_by_side_have_records_of_their_own(put: Put) -> None:
    names = ("leak-pool", "v4", "leak-event", "v1", "leak-reference")
    endpoints = put(*names)
    for name in names:
        # v4 holds a block of its own while leak-pool leaves.
        endpoints.run(name)
    told = endpoints.leave()
    assert [(item.version, item.status) for item in told] == [(2, 0), (4, 0), (2, 0), (1, 0), (2, 0)]
    assert [item.left for item in told] == [NOTHING | LEAKING.get(name, {}) for name in names]


def test_an_image_loaded_again_starts_with_an_empty_record(put: Put) -> None:
    endpoints = put("leak-pool", "v1")
    for name in ("leak-pool", "v1") * 6:
        # More often than there are records.
        endpoints.run(name, iterations=1)
    left = [item.left for item in endpoints.leave() if item.version == 2]
    assert left == [NOTHING | LEAKING["leak-pool"]] * 6


def test_an_image_whose_update_is_refused_is_verified_before_the_one_that_stays(put: Put) -> None:
    endpoints = put("v1", "refuse-pre-process")
    endpoints.run("v1")
    refused = endpoints.lab.device.update(
        service_name=endpoints.services["refuse-pre-process"], deadline=endpoints.deadline
    )
    assert refused.to_version == 1
    assert [item.version for item in endpoints.leave()] == [2, 1]


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda image: (0, 0), "there is none"),
        (lambda image: (image.OPTIONAL_HEADER.SizeOfImage, 64), "behind the image"),
        (lambda image: (0xFFFFFFF8, 64), "addresses wrap"),
        (lambda image: (_table(image).VirtualAddress, 0x10000), "longer than its section"),
        (lambda image: (_table(image).VirtualAddress + 4, 8), "not aligned"),
        (lambda image: (_section(image, b".reloc"), 8), "in a section that may be gone"),
    ],
)
def test_an_image_whose_import_table_cannot_be_trusted_is_left_alone_and_the_status_says_so(
    put: Put, build: DriverBuild, tmp_path: Path, damage: Callable[[pefile.PE], tuple[int, int]], why: str
) -> None:
    path = tmp_path / "damaged.sys"
    with pefile.PE(str(build.driver("hotswap_leak_pool").path)) as image:
        table = _table(image)
        table.VirtualAddress, table.Size = damage(image)
        image.write(str(path))
    endpoints = put(str(path), "v1")
    endpoints.run(str(path))
    endpoints.run("v1")
    # The leak is not seen, and nobody may take that for none: Status.
    assert endpoints.leave()[0] == Verified(2, INVALID_IMAGE_FORMAT, 0, 0, NOTHING), why


def test_an_import_that_was_missed_is_told_and_those_that_were_found_are_seen(
    put: Put, build: DriverBuild, tmp_path: Path
) -> None:
    path = tmp_path / "damaged.sys"
    with pefile.PE(str(build.driver("hotswap_leak_event").path)) as image:
        interposed = {"ExAllocatePoolWithTag", "ExFreePoolWithTag", "ZwCreateEvent"}
        kernel = next(module for module in image.DIRECTORY_ENTRY_IMPORT if module.dll == b"ntoskrnl.exe")
        names = [symbol.name.decode() for symbol in kernel.imports]
        missed = names.index("ZwCreateEvent")
        assert len(interposed & set(names[:missed])) == 2, "what comes after is not in the table of the damaged image"
        _table(image).Size = (
            kernel.imports[missed].address - image.OPTIONAL_HEADER.ImageBase - _table(image).VirtualAddress
        )
        image.write(str(path))
    endpoints = put(str(path))
    endpoints.run(str(path))
    assert endpoints.leave() == [Verified(2, PARTIAL_COPY, 2, 2, NOTHING)]


def test_a_leaked_thread_does_not_keep_the_driver_or_kill_its_host(put: Put) -> None:
    endpoints = put("leak-thread", "v1")
    lab = endpoints.lab
    endpoints.run("leak-thread", iterations=1)
    with_leak = lab.threads()
    endpoints.run("v1", iterations=1)
    assert lab.host is not None
    assert lab.threads() == with_leak, "the thread outlives the image that made it"
    pid = lab.host.process.pid
    told = endpoints.leave()  # closes the lab: the driver was stopped without a fault, see `put`
    assert [item.left["threads"] for item in told] == [1, 0]
    assert isinstance(lab.machine, WineMachine)
    assert "hotswap.sys" not in {image.name for image in lab.machine.mapped_images(pid)}


def _table(image: pefile.PE) -> pefile.Structure:
    """The data directory of the import address table."""
    return image.OPTIONAL_HEADER.DATA_DIRECTORY[pefile.DIRECTORY_ENTRY["IMAGE_DIRECTORY_ENTRY_IAT"]]


def _section(image: pefile.PE, name: bytes) -> int:
    return next(int(section.VirtualAddress) for section in image.sections if section.Name.rstrip(b"\0") == name)
