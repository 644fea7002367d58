"""Which wrapper is which."""

from __future__ import annotations

from typing import Any

from hotswap.conformance import objects
from hotswap.conformance.model_records import Status, Wrapper
from hotswap.conformance.script import ENDPOINTS, IDS, VERSIONS
from hotswap.conformance.session import status_name
from hotswap.conformance.wire import Flat

FUNCTIONS = tuple((version, endpoint) for version in VERSIONS for endpoint in range(ENDPOINTS))
"""In the order in which they are looked up."""


class Labels:
    """Wrappers by name: an address is named by the endpoint for which it was first found."""

    def __init__(self) -> None:
        self._names: dict[int, Wrapper] = {}
        self._numbers: dict[Wrapper, int] = {}
        self._addresses: dict[int, int] = {}

    def number(self, wrapper: Wrapper) -> int:
        """The driver's number of a wrapper that was found before."""
        return self._numbers[wrapper]

    def known(self, wrapper: Wrapper) -> bool:
        """Whether it was found before."""
        return wrapper in self._numbers

    def address(self) -> int:
        """Of some wrapper; 0 when none was found."""
        return next(iter(self._addresses.values()), 0)

    def forget(self, extension: int) -> None:
        """Its addresses may come to be those of others."""
        for wrapper in [wrapper for wrapper in self._numbers if wrapper[0] == extension]:
            self._drop(wrapper)

    def _drop(self, wrapper: Wrapper) -> None:
        number = self._numbers.pop(wrapper, None)
        if number is not None:
            self._names.pop(number, None)
            self._addresses.pop(number, None)

    def read(self, extension: int, flat: Flat, data: bytes, view: dict[tuple[Any, ...], Any]) -> None:
        """Put lookups of all ids and functions into a view."""
        found = flat.read(data)
        by_id, by_pointer = flat.at["by_id.status"], flat.at["by_pointer.status"]
        for id, at in zip(IDS, range(by_id, by_pointer, 3), strict=False):
            number, wrapper = found[at + 1], (extension, id)
            if number == objects.NONE:
                self._drop(wrapper)
            elif number not in self._names and wrapper not in self._numbers:
                self._names[number] = wrapper
                self._numbers[wrapper] = number
                self._addresses[number] = found[at + 2]
            view["wrapper of id", extension, id] = self._name(number)
        for function, at in zip(FUNCTIONS, range(by_pointer, len(found), 3), strict=False):
            status, number = found[at] & 0xFFFFFFFF, found[at + 1]
            name = self._name(number)
            if status != (Status.NOT_FOUND if number == objects.NONE else Status.SUCCESS):
                name = (status_name(status), name)
            view["wrapper of function", extension, function] = name

    def _name(self, number: int) -> Any:
        return None if number == objects.NONE else self._names.get(number, ("another address",))
