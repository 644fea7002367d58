"""Leases: whose a resource is, told from a file that may be half written or from another time or place."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotswap.errors import LabFault
from hotswap.machine.lease import Lease, leases, leases_home, sweep_leases
from hotswap.machine.proc import ProcessId


@pytest.fixture(autouse=True)
def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOTSWAP_CACHE", str(tmp_path))


def dead_process() -> ProcessId:
    """A process that existed and is gone."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    started = ProcessId(child.pid, int(Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[19]))
    assert started.alive()
    child.kill()
    # Not waited for yet: a zombie is dead.
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not started.alive()
    child.communicate()
    assert not started.alive()
    return started


def lease_of(owner: ProcessId, id: str = "a1", **changes: object) -> Lease:
    """A lease as `owner` would have written it, with some of its content changed."""
    lease = Lease.take("wine", id)
    content = json.loads(lease.path.read_text()) | {"pid": owner.pid, "started": owner.started} | changes
    lease.release()
    path = lease.path.with_name(f"wine.{id}.{owner.pid}.{owner.started}.json")
    path.write_text(json.dumps(content))
    found = Lease.of_file(path)
    assert found is not None
    return found


def sweep() -> list[str]:
    removed: list[str] = []
    report = sweep_leases({"wine": removed.append})
    assert report.removed == [f"wine.{id}" for id in removed]
    assert report.failed == {}
    return removed


def test_a_lease_says_what_whose_and_when() -> None:
    lease = Lease.take("wine", "a1", folder="/x")
    content = json.loads(lease.path.read_text())
    assert content["pid"] == os.getpid()
    assert content["resources"] == {"folder": "/x"}
    assert [*leases()] == [lease]
    assert not lease.owner_is_dead()
    assert sweep() == []
    lease.release()
    lease.release()
    assert [*leases()] == []


def test_what_a_dead_owner_left_is_removed_once() -> None:
    lease_of(dead_process())
    assert sweep() == ["a1"]
    assert sweep() == []
    assert [*leases()] == []


def test_a_reused_process_id_is_not_taken_for_the_owner() -> None:
    own = ProcessId.own()
    lease_of(ProcessId(own.pid, own.started - 1))
    assert sweep() == ["a1"]


def test_a_lease_from_before_a_reboot_is_dead_and_one_from_another_container_is_not_ours() -> None:
    own, dead = ProcessId.own(), dead_process()
    lease_of(own, "rebooted", boot="another boot")
    lease_of(dead, "elsewhere", pid_namespace="pid:[1]")
    assert sweep() == ["rebooted"]
    assert [lease.id for lease in leases()] == ["elsewhere"]


@pytest.mark.parametrize("content", [b"", b'{"boot": ', b"null", b"[]", b'{"boot": 3}', b"\xff\xfe", b"[" * 100000])
def test_a_half_written_lease_still_does_its_work(content: bytes) -> None:
    lease_of(dead_process(), "dead").path.write_bytes(content)
    lease_of(ProcessId.own(), "living").path.write_bytes(content)
    assert sweep() == ["dead"]
    assert [lease.id for lease in leases()] == ["living"]


def test_a_remover_that_fails_hides_no_other_and_is_tried_again() -> None:
    dead = dead_process()
    lease_of(dead, "a1")
    lease_of(dead, "b2")
    done: list[str] = []

    def remove(id: str) -> None:
        if id == "a1":
            raise LabFault("it resists")
        done.append(id)

    report = sweep_leases({"wine": remove})
    assert report.failed == {"wine.a1": "LabFault: it resists"}
    assert done == ["b2"]
    assert [lease.id for lease in leases()] == ["a1"]


def test_a_kind_that_nobody_knows_is_left_alone() -> None:
    lease_of(dead_process())
    assert sweep_leases({"qemu": lambda _id: None}).removed == []
    assert [lease.id for lease in leases()] == ["a1"]


def test_many_sweeps_at_once_remove_each_resource_once() -> None:
    dead = dead_process()
    for number in range(40):
        lease_of(dead, f"x{number}")
    mine = [Lease.take("wine", f"mine{number}") for number in range(5)]
    removed: list[str] = []
    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(lambda _: sweep_leases({"wine": removed.append}), range(24)):
            pass
    assert sorted(removed) == sorted(f"x{number}" for number in range(40))
    assert {*leases()} == {*mine}


@settings(max_examples=60, deadline=None)
@given(
    name=st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=60).filter(
        lambda text: text not in (".", "..") and len(text.encode()) < 200
    )
    | st.from_regex(r"[a-z]{1,5}\.[0-9a-z-]{1,5}\.[0-9]{1,12}\.[0-9]{1,22}\.json", fullmatch=True),
    content=st.binary(max_size=200) | st.dictionaries(st.text(), st.text()).map(lambda x: json.dumps(x).encode()),
)
def test_no_file_in_the_lease_folder_can_hurt_a_living_owner(name: str, content: bytes) -> None:
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOTSWAP_CACHE", folder)
        mine = Lease.take("wine", "mine")
        (leases_home() / name).write_bytes(content)
        removed: list[str] = []
        report = sweep_leases({"wine": removed.append})
        assert report.failed == {}
        assert mine in [*leases()]
        assert "mine" not in removed
        assert all(id.replace("-", "").isalnum() for id in removed), "an id leads out of the cache"


def test_a_lease_that_cannot_be_written_is_a_lab_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOTSWAP_CACHE", str(tmp_path / "file"))
    with pytest.raises(LabFault, match="HOTSWAP_CACHE"):
        Lease.take("wine", "a1")
    assert sweep() == []
