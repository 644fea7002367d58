"""Requests and replies of the conformance driver at a few microseconds each, for who makes 100,000 of them.

The same layouts as everywhere, from the contract of the build; only without an object for every field.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Any

from hotswap.conformance.driver import ConformanceDriver
from hotswap.conformance.objects import Condition
from hotswap.conformance.requests import Prepare, Request, fields_on
from hotswap.driver.ioctl import NtStatus, Structure
from hotswap.errors import GuestFault, LabFault

_CODES = {(1, False): "B", (2, False): "H", (4, False): "I", (8, False): "Q"}
_CODES |= {(size, True): code.lower() for (size, _), code in tuple(_CODES.items())}
_CACHED = 4096


class Flat:
    """A structure as one flat tuple of numbers. `at["counters.extensions"]` is where a field begins."""

    def __init__(self, structure: Structure) -> None:
        self.at: dict[str, int] = {}
        self._format: list[str] = []
        self._end = self._numbers = 0
        self._add(structure, "", 0)
        self._struct = Struct("<" + "".join(self._format))

    def _add(self, structure: Structure, prefix: str, offset: int) -> None:
        for field in structure.fields:
            for number in range(1 if field.count is None else field.count):
                name = prefix + field.attribute + (f".{number}" if number else "")
                begin = offset + field.offset + number * field.size
                if field.struct is not None:
                    self._add(field.struct, name + ".", begin)
                    continue
                self._format.append(f"{begin - self._end}x{_CODES[field.size, field.signed]}")
                self.at[name] = self._numbers
                self._numbers += 1
                self._end = begin + field.size

    def read(self, data: bytes) -> tuple[int, ...]:
        """The numbers of a reply. Raises LabFault when it is too short."""
        if len(data) < self._struct.size:
            raise LabFault(f"the driver answered {len(data)} bytes where there are {self._struct.size}")
        return self._struct.unpack_from(data)


class Wire:
    """Sends batches. A request that was sent before is not encoded again."""

    def __init__(self, driver: ConformanceDriver, lane: int) -> None:
        self.driver = driver
        self._lane = lane
        self._encoded: dict[Request[Any], tuple[int, bytes, int]] = {}
        self._wait = driver.contract.ioctl("wait")
        self._flats: dict[str, Flat] = {}

    def flat(self, method: str) -> Flat:
        """The layout of what a request answers."""
        if method not in self._flats:
            output = self.driver.contract.ioctl(method).output
            assert output is not None
            self._flats[method] = Flat(output)
        return self._flats[method]

    def encode(self, request: Request[Any]) -> tuple[int, bytes, int]:
        """Code, input, bytes of output."""
        if isinstance(request, Prepare):
            return self._prepare(request)
        try:
            found = self._encoded.get(request)
        except TypeError:
            return self._new(request)  # has lists in it
        if found is None:
            if len(self._encoded) >= _CACHED:
                self._encoded.clear()
            found = self._encoded[request] = self._new(request)
        return found

    def _new(self, request: Request[Any]) -> tuple[int, bytes, int]:
        ioctl = self.driver.contract.ioctl(request.method)
        return ioctl.code, ioctl.request((), fields_on(request, self._lane)), ioctl.output_size

    def _prepare(self, request: Prepare) -> tuple[int, bytes, int]:
        ioctl = self.driver.contract.ioctl("prepare")
        assert ioctl.input is not None
        head = _PREPARE.pack(request.prepared, request.code, request.lane, request.input_bytes)
        return ioctl.code, (head + request.input).ljust(ioctl.input.size, b"\0"), ioctl.output_size

    def encode_wait(self, conditions: Sequence[Condition], timeout_ms: int) -> tuple[int, bytes, int]:
        """A `Wait`: of these hardly two are alike."""
        assert self._wait.input is not None
        data = bytearray(self._wait.input.size)
        _WAIT.pack_into(data, 0, timeout_ms, len(conditions))
        for number, each in enumerate(conditions):
            _CONDITION.pack_into(data, _WAIT.size + number * _CONDITION.size, each.kind, each.index, each.value)
        return self._wait.code, bytes(data), self._wait.output_size

    def send(self, calls: Sequence[tuple[int, bytes, int]]) -> list[bytes]:
        """The outputs. Raises GuestFault when a request was refused, or when the guest is broken."""
        outputs = []
        for (code, _, _), (status, data, _ticks) in zip(calls, self.driver.raw_batch(calls), strict=True):
            if status:
                what = f"request {_name(self.driver, code)} failed with {NtStatus(status)}"
                # Wine answers so, too, while the host of a driver that crashed is still writing its dump.
                gone = self.driver.gone
                raise GuestFault(f"{gone}: {what}" if gone else what)
            outputs.append(data)
        return outputs


def _name(driver: ConformanceDriver, code: int) -> str:
    return next((name for name, ioctl in driver.contract.ioctls.items() if ioctl.code == code), hex(code))


_WAIT = Struct("<II")
_CONDITION = Struct("<IIQ")
_PREPARE = Struct("<IIII")
"""Held against the contract by tests/contract/test_wire.py."""
