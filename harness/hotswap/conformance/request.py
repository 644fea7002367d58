"""What every request to the conformance driver is: a class of its own, which says what it takes and what it answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from hotswap.conformance.objects import Callback, Phase

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Generic[R]):
    """What `ConformanceDriver.run` sends. R is the reply."""

    method: ClassVar[str]
    reply: ClassVar[Any]
    """The class of the reply; None: there is none."""
    laned: ClassVar[bool] = False
    """Whether it runs on one of the driver's threads, and may wait there."""

    def fields(self) -> dict[str, object]:
        """The fields of the input structure that are not zero."""
        given = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: plain(value) for name, value in given.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class OnLane(Request[R], Generic[R]):
    """A request that runs on a lane. The Nth allocation of the runtime meanwhile fails with `fail_allocation=N`."""

    laned: ClassVar[bool] = True
    fail_allocation: int = 0

    def fields(self) -> dict[str, object]:
        """The fields of the input structure; the lane is added by the driver."""
        fields = Request.fields(self)
        return {"caller": {"fail_allocation": fields.pop("fail_allocation")}, **fields}


def plain(value: object) -> object:
    """As the contract packs it: mappings and numbers."""
    if isinstance(value, Phase):
        return {
            "status": value.status,
            "gate": numbered(value.gate),
            "prepared": numbered(value.prepared),
            "spin_microseconds": value.spin_microseconds,
        }
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain(item) for item in value]
    return int(value) if isinstance(value, bool) else value


def numbered(number: int | None) -> int:
    """Number + 1; 0 stands for none."""
    return 0 if number is None else number + 1


def phases(callback: Callback) -> list[object]:
    """The behaviour of a phase callback, as the contract packs it."""
    return [plain(phase) for phase in (callback.pre_process, callback.proxy_stalled, callback.post_process)]


def fields_on(request: Request[Any], lane: int) -> Mapping[str, object]:
    """The fields of a request with its lane."""
    fields = request.fields()
    if not request.laned:
        return fields
    caller = fields["caller"]
    assert isinstance(caller, dict)
    return {**fields, "caller": {**caller, "lane": lane}}
