"""A package has the images that a test needs, each under a name of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hotswap.driver.build import DriverBuild
from hotswap.driver.exports import GuestExports
from hotswap.driver.package import DriverPackage, known_updates, resolve_update, update_names
from hotswap.errors import UsageError


def test_the_updates_of_the_build_are_known_good_ones_first(build: DriverBuild) -> None:
    updates = known_updates(build)
    assert [update.name for update in updates if update.breaks is None][:2] == ["v1", "v2"]
    broken = {update.name: update.breaks for update in updates if update.breaks}
    assert len(broken) >= 14
    assert all(broken.values())


def test_an_unknown_name_says_which_was_meant(
    build: DriverBuild, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match=r"unknown update 'lose_wakeup' \(did you mean lose-wakeup\?\); known are"):
        resolve_update(build, "lose_wakeup")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").write_bytes(b"MZ")
    with pytest.raises(UsageError, match=r"unknown update 'mine'; for the file of that name say \./mine"):
        resolve_update(build, "mine")


def test_names_for_completion_are_those_of_the_build(build: DriverBuild) -> None:
    assert set(update_names()) == {update.name for update in known_updates(build)}


def test_a_host_that_is_broken_runs_a_good_update(build: DriverBuild) -> None:
    update = resolve_update(build, "host-old-call")
    assert update.image == build.driver("hotswap_v2")
    assert update.host_fault == "old-call"


@pytest.mark.parametrize(
    ("name", "file"), [("v1", "hotswap_v1.sys"), ("v2", "hotswap_v2.sys"), ("lose-wakeup", "hotswap_lose_wakeup.sys")]
)
def test_a_name_is_its_driver(build: DriverBuild, name: str, file: str) -> None:
    assert resolve_update(build, name).image == build.driver(file)


@pytest.mark.parametrize("wanted", ["v9", "", "V1", "hotswap"])
def test_an_unknown_name_lists_the_known_ones(build: DriverBuild, wanted: str) -> None:
    with pytest.raises(UsageError, match=r"unknown update .*; known are: v1, v2, .*lose-wakeup") as caught:
        resolve_update(build, wanted)
    assert "\n" not in str(caught.value)


def test_a_path_is_the_users_own_driver(build: DriverBuild, tmp_path: Path) -> None:
    path = Path(shutil.copy(build.driver("hotswap_v2").path, tmp_path / "my driver.sys"))
    update = resolve_update(build, str(path))
    assert update.name == "my driver"
    assert update.image.path == path
    assert update.image.sha256 == build.driver("hotswap_v2").sha256


def test_what_is_no_driver_is_one_clear_line(build: DriverBuild, tmp_path: Path) -> None:
    text = tmp_path / "text.sys"
    text.write_text("not a driver")
    with pytest.raises(UsageError, match=r"text\.sys is not a usable PE image") as caught:
        resolve_update(build, str(text))
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match=r"none\.sys cannot be read: No such file"):
        resolve_update(build, str(tmp_path / "none.sys"))
    (tmp_path / "folder.sys").mkdir()
    with pytest.raises(UsageError, match=r"folder\.sys is no file, but a folder"):
        resolve_update(build, str(tmp_path / "folder.sys"))


def test_the_order_is_runtime_host_endpoints(build: DriverBuild) -> None:
    package = DriverPackage.of(build, ["v1", "v2"])
    names = [deployed.image.name for deployed in package.images]
    assert names == ["driverproxy.sys", "hotswap.sys", "hotswap_v1.sys", "hotswap_v2.sys"]
    assert [deployed.service for deployed in package.images] == [None, "hotswap", "hotswap_v1", "hotswap_v2"]
    assert package.images[0].guest_path == r"C:\windows\system32\drivers\driverproxy.sys"
    assert package.host.image.name == "hotswap.sys"


def test_a_driver_that_comes_again_is_deployed_under_two_names_in_turn(build: DriverBuild) -> None:
    package = DriverPackage.of(build, ["v1", "v2", "v1", "v1", "v2"])
    assert [item.service for item in package.endpoints] == [
        *("hotswap_v1", "hotswap_v2", "hotswap_v1_b", "hotswap_v1", "hotswap_v2_b")
    ]
    assert len(package.images) == 6
    assert len({item.guest_path for item in package.images}) == 6


def test_an_update_to_itself_can_be_loaded_beside_itself(build: DriverBuild) -> None:
    first, again = DriverPackage.of(build, ["v1", "v1"]).endpoints
    assert first.image == again.image
    assert first.guest_path != again.guest_path


@pytest.mark.parametrize("file", ["hotswap_v1.sys", "HOTSWAP.SYS", "driverproxy.sys"])
def test_a_users_driver_never_takes_anothers_place(build: DriverBuild, tmp_path: Path, file: str) -> None:
    own = Path(shutil.copy(build.driver("hotswap_v2").path, tmp_path / file))
    package = DriverPackage.of(build, ["v1", str(own)])
    paths = [deployed.guest_path.lower() for deployed in package.images]
    services = [deployed.service.lower() for deployed in package.images if deployed.service]
    assert len(set(paths)) == len(paths) == 4
    assert len(set(services)) == len(services) == 3


def test_any_file_name_becomes_a_service_name(build: DriverBuild, tmp_path: Path) -> None:
    for file in ("mein Treiber (neu) ü.sys", "x" * 200 + ".sys", "+++.sys"):
        own = Path(shutil.copy(build.driver("hotswap_v2").path, tmp_path / file))
        service = DriverPackage.of(build, ["v1", str(own)]).endpoints[1].service
        assert service
        assert len(service) < build.ioctl.constants["HOTSWAP_SERVICE_NAME_CHARS"]
        assert service.isascii()
        assert " " not in service


def test_the_whole_package_passes_preflight(build: DriverBuild, guest: GuestExports) -> None:
    reports = DriverPackage.of(build, ["v1", "v2", "lose-wakeup", "twice"]).preflight(guest)
    assert len(reports) == 6
    assert [str(report) for report in reports if not report.ok] == []
