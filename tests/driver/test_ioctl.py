"""Requests and replies are the structures of the header, byte for byte, and a wrong value never reaches the guest."""

from __future__ import annotations

import ctypes
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotswap.driver.build import DriverBuild, build_drivers
from hotswap.driver.ioctl import Field, IoctlContract, NtStatus, Structure
from hotswap.errors import GuestFault, LabFault, UsageError


@pytest.fixture(scope="module")
def contract(build: DriverBuild) -> IoctlContract:
    return build.ioctl


class CreateWorker(ctypes.Structure):
    """HOTSWAP_CREATE_WORKER as C lays it out, stated a second time."""

    _fields_ = (
        ("WaitType", ctypes.c_uint32),
        ("WaitReason", ctypes.c_uint32),
        ("WaitMode", ctypes.c_uint8),
        ("Altertable", ctypes.c_uint8),
        ("HasTimeout", ctypes.c_uint8),
        ("Reserved", ctypes.c_uint8),
        ("EventCount", ctypes.c_uint32),
        ("Timeout", ctypes.c_int64),
        ("NotificationMask", ctypes.c_uint64),
        ("InitialStateMask", ctypes.c_uint64),
        ("WorkMicroseconds", ctypes.c_uint32),
        ("Reserved2", ctypes.c_uint32),
    )


def test_a_request_is_the_structure_that_c_would_fill(contract: IoctlContract) -> None:
    expected = CreateWorker(
        WaitType=1, WaitReason=6, Altertable=1, HasTimeout=1, EventCount=3, Timeout=-10_000, NotificationMask=1 << 63
    )
    request = contract.ioctl("create_worker").request(
        (),
        {
            "wait_type": "WaitAny",
            "wait_reason": "UserRequest",
            "altertable": True,
            "has_timeout": 1,
            "event_count": 3,
            "timeout": -10_000,
            "notification_mask": 1 << 63,
        },
    )
    assert request == bytes(expected)


def test_fields_can_be_given_in_their_order(contract: IoctlContract) -> None:
    ioctl = contract.ioctl("signal_event")
    assert ioctl.request((7,), {"event_index": 3}) == bytes([7, 0, 0, 0, 3, 0, 0, 0])
    assert ioctl.request((7, 3), {}) == ioctl.request((), {"event_index": 3, "worker_id": 7})


def test_an_array_of_structures_fills_its_count(contract: IoctlContract) -> None:
    ioctl = contract.ioctl("start_load")
    data = ioctl.request((), {"threads": 2, "targets": [{"worker_id": 1, "event_index": 2}, (3, 4)]})
    load = ioctl.input
    assert load is not None
    assert len(data) == load.size
    reply = load.unpack(data)
    assert reply.target_count == 2
    assert [(target.worker_id, target.event_index) for target in reply.targets] == [(1, 2), (3, 4)]
    again = load.pack({"target_count": 1, "targets": reply.targets})
    assert load.unpack(again).target_count == 1


def test_a_text_is_utf_16_with_room_for_its_end(contract: IoctlContract) -> None:
    update = contract.ioctl("update").input
    assert update is not None
    assert update.unpack(update.pack({"service_name": "hotswap_v2"})).service_name == "hotswap_v2"
    assert "hotswap_v2".encode("utf-16-le") in update.pack({"service_name": "hotswap_v2"})
    assert update.unpack(update.pack({"service_name": "ü" * 63})).service_name == "ü" * 63


def test_enums_go_by_their_full_or_short_name(contract: IoctlContract) -> None:
    structure = contract.structs["HOTSWAP_CONFIGURATION"]
    for name in ("HotswapRuntimeCompat", "compat", 2, contract.enums["HOTSWAP_RUNTIME"]["HotswapRuntimeCompat"]):
        assert structure.pack({"runtime": name})[0] == 2
    # A driver must be asked wrong things as well: numbers need not be members.
    assert structure.unpack(structure.pack({"runtime": 77})).runtime == 77
    create = contract.structs["HOTSWAP_CREATE_WORKER"]
    assert create.unpack(create.pack({"wait_type": "any"})).wait_type is contract.enums["WAIT_TYPE"]["WaitAny"]


@pytest.mark.parametrize(
    ("method", "fields", "message"),
    [
        ("signal_event", {"worker": 1}, r"signal_event has no field 'worker'; it has: worker_id, event_index"),
        ("signal_event", {"worker_id": -1}, r"signal_event\.worker_id is -1, out of its range 0 to 4294967295"),
        ("signal_event", {"worker_id": 1 << 32}, r"out of its range 0 to 4294967295"),
        ("signal_event", {"worker_id": "one"}, r"worker_id is a whole number, not 'one'"),
        ("signal_event", {"worker_id": 1.0}, r"worker_id is a whole number, not 1\.0"),
        ("create_worker", {"wait_mode": 256}, r"create_worker\.wait_mode is 256, out of its range 0 to 255"),
        (
            "create_worker",
            {"timeout": 1 << 63},
            r"timeout is 9223372036854775808, out of its range -922337",
        ),
        ("create_worker", {"wait_type": "some"}, r"wait_type has no value 'some'; it has: WaitAll, WaitAny"),
        ("start_load", {"targets": [(1, 2)] * 257}, r"targets holds at most 256 elements, not 257"),
        ("start_load", {"targets": [{"worker": 1}]}, r"start_load\.targets\[0\] has no field 'worker'"),
        ("start_load", {"targets": [(1, 2), (1, -2)]}, r"start_load\.targets\[1\]\.event_index is -2"),
        ("start_load", {"targets": [(1, 2, 3)]}, r"targets\[0\] is a structure of worker_id, event_index"),
        ("start_load", {"targets": 5}, r"targets is an array of at most 256: give a sequence"),
        ("update", {"service_name": "x" * 64}, r"service_name holds at most 63 characters, not 64"),
        ("update", {"service_name": "a\0b"}, r"service_name is a text without NUL"),
        ("update", {"service_name": 5}, r"service_name is a text without NUL, not 5"),
        ("update", {"service_name": "\ud800"}, r"cannot be written in utf-16-le"),
        ("query_counters", {"worker_id": 1}, r"query_counters takes no fields, so not worker_id"),
    ],
)
def test_what_does_not_fit_is_named(
    contract: IoctlContract, method: str, fields: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        contract.ioctl(method).request((), fields)


def test_too_many_and_doubled_arguments_are_named(contract: IoctlContract) -> None:
    with pytest.raises(UsageError, match=r"signal_event takes 2 fields, not 3; they are: worker_id, event_index"):
        contract.ioctl("signal_event").request((1, 2, 3), {})
    with pytest.raises(UsageError, match=r"worker_id is given both by position and by name"):
        contract.ioctl("signal_event").request((1,), {"worker_id": 2})
    with pytest.raises(UsageError, match=r"no request 'swap'; it has: get_version, "):
        contract.ioctl("swap")


def test_a_reply_has_names_enums_and_statuses(contract: IoctlContract) -> None:
    info = contract.structs["HOTSWAP_VERSION_INFO"]
    data = info.pack({"runtime": "compat", "runtime_status": 0xC00000BB, "tick_frequency": 10_000_000})
    reply = info.unpack(data)
    assert reply.runtime is contract.enums["HOTSWAP_RUNTIME"]["HotswapRuntimeCompat"]
    assert reply.runtime_status == 0xC00000BB
    assert not reply.runtime_status.succeeded
    assert f"{reply.runtime_status}" == "STATUS_NOT_SUPPORTED (0xC00000BB)"
    assert "runtime_status=STATUS_NOT_SUPPORTED (0xC00000BB)" in repr(reply)
    assert "runtime=<HOTSWAP_RUNTIME.HotswapRuntimeCompat: 2>" in repr(reply)


def test_a_reply_cannot_be_changed_and_hides_what_is_reserved(contract: IoctlContract) -> None:
    structure = contract.structs["HOTSWAP_CREATE_WORKER"]
    reply = structure.unpack(bytes(structure.size))
    with pytest.raises(dataclasses.FrozenInstanceError):
        reply.timeout = 5
    with pytest.raises(AttributeError):
        _ = reply.time_out
    assert "reserved" not in repr(reply)


def test_an_array_ends_where_its_count_says(contract: IoctlContract) -> None:
    info = contract.structs["HOTSWAP_WORKER_INFO"]
    reply = info.unpack(info.pack({"versions": [(1, 0, 100), (2, 0, 50)]}))
    assert [(count.version, count.iterations) for count in reply.versions] == [(1, 100), (2, 50)]
    # What the driver says is not trusted to be within the array.
    assert len(info.unpack(info.pack({"version_count": 1 << 31})).versions) == 8


def test_a_short_reply_is_the_guests_fault(contract: IoctlContract) -> None:
    with pytest.raises(GuestFault, match="answered 31 bytes where HOTSWAP_VERSION_INFO has 32"):
        contract.ioctl("get_version").reply(bytes(31))


def test_bytes_behind_a_reply_are_kept(contract: IoctlContract) -> None:
    chunk = contract.structs["TRACE_RING_CHUNK"]
    reply = contract.ioctl("drain_trace").reply(chunk.pack({"entries": 1}) + b"entry")
    assert reply.header.entries == 1
    assert reply.data == b"entry"


def test_a_status_takes_both_signs() -> None:
    assert NtStatus(-1073741637) == NtStatus(0xC00000BB) == 0xC00000BB
    assert str(NtStatus(0x102)) == "NTSTATUS 0x00000102"
    assert NtStatus(0x102).succeeded


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"constants": {}, "enums": {}, "structs": {}}'])
def test_a_broken_contract_is_one_clear_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "ioctl.json"
    path.write_text(content)
    with pytest.raises(LabFault, match=r"ioctl\.json"):
        IoctlContract.load(path)


def test_fields_that_python_cannot_tell_apart_are_refused() -> None:
    field = {"offset": 0, "size": 4, "kind": "int", "type": "ULONG", "count": None, "signed": False, "enum": None}
    for names in (["AB", "Ab"], ["Deadline"]):
        fields = [{**field, "name": name} for name in names]
        layout = {"constants": {}, "enums": {}, "structs": {"S": {"size": 4, "fields": fields}}, "ioctls": {}}
        with pytest.raises(LabFault, match="cannot be told apart"):
            IoctlContract.of(json.loads(json.dumps(layout)))


def values_of(structure: Structure) -> st.SearchStrategy[dict[str, Any]]:
    counters = {field.counted_by for field in structure.fields}
    shown = [field for field in structure.fields if field.attribute not in counters]
    return st.fixed_dictionaries({}, optional={field.attribute: value_of(field) for field in shown})


def value_of(field: Field) -> st.SearchStrategy[Any]:
    if field.kind in ("wchar", "char"):
        letters = st.characters(min_codepoint=1, max_codepoint=0xFFFF if field.kind == "wchar" else 0xFF, codec="utf-8")
        return st.text(letters, max_size=(field.count or 1) - 1)
    low, high = field.limits
    element: st.SearchStrategy[Any] = values_of(field.struct) if field.struct else st.integers(low, high)
    return element if field.count is None else st.lists(element, max_size=min(field.count, 5))


def agrees(structure: Structure, given_values: dict[str, Any], reply: Any) -> bool:
    for field in structure.fields:
        got = getattr(reply, field.attribute)
        if field.attribute not in given_values:
            continue
        wanted = given_values[field.attribute]
        if field.count is None or field.kind in ("wchar", "char"):
            pairs = [(wanted, got)]
        else:
            # Where no count says how many there are, the rest is zero.
            pairs = list(zip(wanted, got, strict=field.counted_by is not None))
        for one, other in pairs:
            if field.struct is not None:
                if not agrees(field.struct, one, other):
                    return False
            elif (one & 0xFFFFFFFF if field.is_status else one) != other:
                return False
    return True


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_what_is_packed_is_what_is_read(data: st.DataObject) -> None:
    structs = build_drivers_once().structs
    structure = structs[data.draw(st.sampled_from(sorted(structs)))]
    values = data.draw(values_of(structure))
    packed = structure.pack(values)
    assert len(packed) == structure.size
    reply = structure.unpack(packed)
    assert agrees(structure, values, reply)
    again = {field.attribute: getattr(reply, field.attribute) for field in structure.fields}
    assert structure.pack(again) == packed


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_bytes_of_the_right_length_are_a_reply(data: st.DataObject) -> None:
    structs = build_drivers_once().structs
    structure = structs[data.draw(st.sampled_from(sorted(structs)))]
    noise = data.draw(st.binary(min_size=structure.size, max_size=structure.size))
    assert repr(structure.unpack(noise)).startswith(structure.name)


_CONTRACTS: list[IoctlContract] = []


def build_drivers_once() -> IoctlContract:
    """Hypothesis reruns a test many times within one fixture; opening the build takes 30 ms."""
    if not _CONTRACTS:
        _CONTRACTS.append(build_drivers().ioctl)
    return _CONTRACTS[0]
