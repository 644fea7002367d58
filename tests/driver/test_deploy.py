"""What a deployment does can be undone, and a step that fails takes back only what was done before it."""

from __future__ import annotations

import hashlib
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hotswap.deadline import Deadline
from hotswap.driver.build import DriverBuild
from hotswap.driver.deploy import deploy, undeploy
from hotswap.driver.package import DriverPackage
from hotswap.errors import GuestFault
from hotswap.transport.replies import ServiceState, ServiceStatus


@dataclass
class FakeGuest:
    """Files and services, as an agent would keep them."""

    files: dict[str, bytes] = field(default_factory=dict)
    services: dict[str, str] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    changes: bool = False

    def put(self, source: Path, guest_path: str, *, deadline: Deadline) -> str:
        content = source.read_bytes() + (b"x" if self.changes else b"")
        self.files[guest_path] = content
        return hashlib.sha256(content).hexdigest()

    def remove(self, guest_path: str, *, deadline: Deadline) -> None:
        if guest_path not in self.files:
            raise GuestFault(f"remove {guest_path}: ERROR_FILE_NOT_FOUND (2)")
        del self.files[guest_path]

    def service_find(self, name: str, *, deadline: Deadline) -> ServiceState | None:
        status = ServiceStatus.RUNNING if name in self.running else ServiceStatus.STOPPED
        return ServiceState(name, 1, status, 0, 0, 0, 0, 3, self.services[name]) if name in self.services else None

    def service_create(self, name: str, guest_path: str, *, deadline: Deadline) -> None:
        if name in self.services:
            raise GuestFault(f"create service {name}: ERROR_SERVICE_EXISTS (1073)")
        assert guest_path in self.files, "a service is made for a file that is there"
        self.services[name] = guest_path

    def service_delete(self, name: str, *, deadline: Deadline) -> None:
        if name not in self.services:
            raise GuestFault(f"delete service {name}: ERROR_SERVICE_DOES_NOT_EXIST (1060)")
        del self.services[name]


@pytest.fixture
def package(build: DriverBuild) -> DriverPackage:
    return DriverPackage.of(build, ["v1", "v2"])


def test_files_and_services_are_made_and_taken_away(package: DriverPackage) -> None:
    guest = FakeGuest()
    limit = Deadline.after(5)
    deploy(guest, package.images, deadline=limit)
    assert list(guest.services) == ["hotswap", "hotswap_v1", "hotswap_v2"]
    assert list(guest.files) == [deployed.guest_path for deployed in package.images]
    assert guest.files[package.images[0].guest_path] == package.images[0].image.path.read_bytes()
    assert undeploy(guest, package.images, deadline=limit) == ()
    assert guest == FakeGuest()


def test_a_file_that_arrives_changed_stops_the_deployment(package: DriverPackage) -> None:
    guest = FakeGuest(changes=True)
    with pytest.raises(GuestFault, match=r"driverproxy\.sys: SHA-256 [0-9a-f]{64} arrived instead of"):
        deploy(guest, package.images, deadline=Deadline.after(5))
    assert guest == FakeGuest(changes=True)


def test_a_service_of_somebody_else_is_left_alone(package: DriverPackage) -> None:
    guest = FakeGuest(services={"hotswap": package.images[1].guest_path, "hotswap_v1": r"C:\theirs.sys"})
    before = deepcopy(guest)
    told = r"hotswap_v1\.sys: the service hotswap_v1 is there already, stopped, and starts C:\\theirs\.sys: it is ano"
    with pytest.raises(GuestFault, match=told) as caught:
        deploy(guest, package.images, deadline=Deadline.after(5))
    assert guest == before
    assert not hasattr(caught.value, "__notes__")


def test_a_driver_that_runs_is_left_alone(package: DriverPackage) -> None:
    guest = FakeGuest(services={"hotswap": package.images[1].guest_path}, running={"hotswap"})
    before = deepcopy(guest)
    with pytest.raises(GuestFault, match=r"the service hotswap is there already, running, and .*sc stop hotswap"):
        deploy(guest, package.images, deadline=Deadline.after(5))
    assert guest == before


@pytest.mark.parametrize(
    "kept_as", ["{}", r"\??\{}", r"\SystemRoot\system32\drivers\{name}", r"system32\DRIVERS\{name}"]
)
def test_what_a_run_could_not_take_out_again_is_replaced(package: DriverPackage, kept_as: str) -> None:
    left = {one.service: one.guest_path for one in package.images if one.service is not None}
    assert list(left) == ["hotswap", "hotswap_v1", "hotswap_v2"]
    guest = FakeGuest(
        files={one.guest_path: b"torn" for one in package.images},
        services={name: kept_as.format(path, name=path.rpartition("\\")[2]) for name, path in left.items()},
    )
    limit = Deadline.after(5)
    deploy(guest, package.images, deadline=limit)
    assert guest.services == left
    assert guest.files == {one.guest_path: one.image.path.read_bytes() for one in package.images}
    assert undeploy(guest, package.images, deadline=limit) == ()
    assert guest == FakeGuest()


def test_taking_away_goes_on_after_a_failure(package: DriverPackage) -> None:
    guest = FakeGuest()
    limit = Deadline.after(5)
    deploy(guest, package.images, deadline=limit)
    del guest.services["hotswap_v1"]
    del guest.files[package.images[3].guest_path]
    failures = undeploy(guest, package.images, deadline=limit)
    assert len(failures) == 2
    assert "removing" in failures[0]
    assert "deleting the service hotswap_v1" in failures[1]
    assert guest == FakeGuest()
