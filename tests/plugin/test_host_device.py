"""The typed device says what the contract says that the build made of the header: names, order, types, enum values."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from enum import IntEnum

import pytest

from hotswap.driver import host_device, host_replies
from hotswap.driver.build import DriverBuild
from hotswap.driver.host_device import HostDevice, HostFaultName, RuntimeName, WaitName
from hotswap.driver.host_replies import Counters, Runtime, VersionCount, VersionInfo, WorkerInfo, WorkerState, typed
from hotswap.driver.ioctl import Field, Ioctl, IoctlContract, NtStatus, Structure
from hotswap.testing.worker import MAX_VERSIONS

NAMES = {"HOTSWAP_RUNTIME": RuntimeName, "WAIT_TYPE": WaitName, "HOTSWAP_HOST_FAULT": HostFaultName}
REPLY_ENUMS = {"HOTSWAP_RUNTIME": Runtime, "HOTSWAP_WORKER_STATE": WorkerState}
STRUCTURES = {"VersionCount": "HOTSWAP_VERSION_COUNT", "Paused": "TRACE_PAUSED"}


@pytest.fixture(scope="session")
def contract(build: DriverBuild) -> IoctlContract:
    return build.ioctl


def stated(structure: Structure | None) -> list[Field]:
    return [field for field in structure.fields if not field.reserved] if structure else []


def requested_type(field: Field, counters: set[str]) -> object:
    """How a field of a request is written in Python."""
    if field.kind == "wchar":
        return str
    if field.struct is not None:
        return host_device.Targets
    if field.count is not None:
        return typing.get_type_hints(HostDevice.call_endpoint)["arguments"]
    if field.attribute in counters:
        return int | None
    if field.enum is not None:
        return int | NAMES.get(field.enum.__name__, str)
    return int


def replied_type(field: Field) -> object:
    """How a field of a reply is written in Python."""
    if field.struct is not None:
        kind = next(name for name, struct in STRUCTURES.items() if struct == field.struct.name)
        return tuple[getattr(host_replies, kind), ...]
    if field.is_status:
        return NtStatus
    if field.enum is not None:
        return REPLY_ENUMS[field.enum.__name__]
    return int


def test_versions_are_counted_up_to_the_number_that_the_header_says(contract: IoctlContract) -> None:
    assert contract.constants["HOTSWAP_MAX_VERSIONS"] == MAX_VERSIONS


def test_every_ioctl_is_a_method_of_its_own(contract: IoctlContract) -> None:
    methods = {name for name, value in vars(HostDevice).items() if inspect.isfunction(value) and name[0] != "_"}
    assert methods == set(contract.ioctls)
    assert len(methods) == 22


def test_every_parameter_is_a_field_of_the_input_structure(contract: IoctlContract) -> None:
    for ioctl in contract.ioctls.values():
        method = getattr(HostDevice, ioctl.method)
        hints = typing.get_type_hints(method)
        fields = stated(ioctl.input)
        counters = {field.counted_by for field in fields if field.counted_by}
        parameters = [
            parameter
            for parameter in inspect.signature(method).parameters.values()
            if parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD and parameter.name != "self"
        ]
        assert [parameter.name for parameter in parameters] == [field.attribute for field in fields], ioctl.name
        for field in fields:
            assert hints[field.attribute] == requested_type(field, counters), f"{ioctl.name}.{field.name}"


def test_every_reply_has_the_fields_of_the_output_structure(contract: IoctlContract) -> None:
    for ioctl in contract.ioctls.values():
        reply = reply_class(ioctl)
        hints = typing.get_type_hints(reply)
        fields = stated(ioctl.output)
        assert [field.name for field in dataclasses.fields(reply)] == [field.attribute for field in fields], ioctl.name
        for field in fields:
            assert hints[field.attribute] == replied_type(field), f"{ioctl.name}.{field.name}"
            if field.struct is not None:
                nested = typing.get_args(hints[field.attribute])[0]
                names = [item.name for item in dataclasses.fields(nested)]
                assert names == [item.attribute for item in stated(field.struct)]


def reply_class(ioctl: Ioctl) -> type:
    returned = typing.get_type_hints(getattr(HostDevice, ioctl.method))["return"]
    return typing.get_args(returned)[0] if ioctl.trailing else returned


@pytest.mark.parametrize(("name", "ours"), REPLY_ENUMS.items())
def test_enums_of_replies_have_the_headers_members(contract: IoctlContract, name: str, ours: type[IntEnum]) -> None:
    theirs = [
        (member.removeprefix(prefix_of(contract, name)).upper(), int(value))
        for member, value in members(contract, name)
    ]
    assert [(member.name, int(member)) for member in ours] == theirs


@pytest.mark.parametrize(("name", "ours"), NAMES.items())
def test_names_of_enum_values_in_requests_are_the_headers(contract: IoctlContract, name: str, ours: object) -> None:
    theirs = [member.removeprefix(prefix_of(contract, name)).lower() for member, _ in members(contract, name)]
    assert sorted(text.replace("-", "") for text in typing.get_args(ours)) == sorted(theirs)


def members(contract: IoctlContract, name: str) -> list[tuple[str, IntEnum]]:
    return list(contract.enums[name].__members__.items())


def prefix_of(contract: IoctlContract, name: str) -> str:
    prefixes = ("HotswapRuntime", "HotswapWorker", "HotswapFault", "Wait")
    first = members(contract, name)[0][0]
    return next(prefix for prefix in prefixes if first.startswith(prefix))


def test_a_reply_of_the_contract_becomes_the_typed_one(contract: IoctlContract) -> None:
    structure = contract.structs["HOTSWAP_WORKER_INFO"]
    versions = [{"version": 1, "iterations": 5}, {"version": 2, "iterations": 2}]
    data = structure.pack({"worker_id": 3, "state": 1, "last_wait_status": 0x102, "versions": versions})
    info = typed(WorkerInfo, structure.unpack(data))
    assert info.state is WorkerState.RUNNING
    assert info.versions == (VersionCount(1, 5), VersionCount(2, 2))
    assert str(info.last_wait_status) == "STATUS_TIMEOUT (0x00000102)"


def test_a_state_that_the_header_does_not_name_stays_a_number(contract: IoctlContract) -> None:
    structure = contract.structs["HOTSWAP_VERSION_INFO"]
    assert typed(VersionInfo, structure.unpack(structure.pack({"runtime": 77}))).runtime == 77


def test_counters_are_all_the_members_of_the_structure(contract: IoctlContract) -> None:
    structure = contract.structs["HOTSWAP_COUNTERS"]
    values = {field.attribute: at for at, field in enumerate(structure.fields, 1)}
    assert dataclasses.asdict(typed(Counters, structure.unpack(structure.pack(values)))) == values
