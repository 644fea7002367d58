"""Single requests of hotswap.sys: good ones, good ones with a field or two spoilt, and those of a wrong shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random

from hotswap.driver.ioctl import Ioctl, IoctlContract
from hotswap.fuzz.layout import Layout, Scalar
from hotswap.fuzz.rules import Facts, Rules

WILD = (
    0, 1, 2, 3, 4, 7, 8, 9, 31, 32, 33, 63, 64, 65, 127, 128, 255, 256, 257, 1000, 0x7FFF, 0x8000, 0xFFFF, 0x10000,
    0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF, 0x100000000, 0x7FFE0000, 0xFFFFF78000000000, 0xFFFFF80000001000,
    0xCCCCCCCCCCCCCCCC, 0x7FFFFFFFFFFFFFFF, 0x8000000000000000, 0xFFFFFFFFFFFFFFFF,
)  # fmt: skip
"""Limits and their neighbours, pointers of user and kernel, and what uninitialised memory looks like."""

_NAMES = (
    "", "nosuch", "hotswap", "HotSwap", "driverproxy", "..", "a\\b", "hotswap_v1.sys", "x" * 63, "x" * 64, "hötswap",
    "\\Registry\\Machine", "hotswap_v9", "winedevice", "%d%s%n", " ",
)  # fmt: skip
# What asks for long work, or spins: a valid value of these is kept small, a wild one is one that must be refused.
_WORK_MOST = 1000
_MAX_ALIVE = 24


@dataclass(slots=True)
class Guess:
    """What the generator believes of the driver. Right or not, the same seed gives the same requests."""

    creates: int = 0
    loads: int = 0
    alive: list[int] = field(default_factory=list)
    lasting: list[int] = field(default_factory=list)
    """Workers that were surely made, and that no request is meant to stop: refused creations blur the others."""
    alive_loads: list[int] = field(default_factory=list)

    @property
    def facts(self) -> Facts:
        """What is certain."""
        return Facts(self.creates + 1, self.loads + 1)


class Requests:
    """Makes requests; all randomness is that of `random`."""

    def __init__(self, contract: IoctlContract, rules: Rules, services: tuple[str, ...], random: Random, guess: Guess):
        self.contract = contract
        self.rules = rules
        self.random = random
        self.guess = guess
        self._services = services
        self._good: Mapping[str, Callable[[Layout], bytearray]] = {
            "configure": self._configure,
            "create_worker": self._create_worker,
            "query_worker": self._worker,
            "stop_worker": self._stop_worker,
            "alert_worker": self._worker,
            "signal_event": self._event,
            "clear_event": self._event,
            "query_event": self._event,
            "start_load": self._start_load,
            "stop_load": self._stop_load,
            "update": self._update,
            "probe_runtime": self._probe,
            "call_endpoint": self._call_endpoint,
        }

    def good(self, method: str) -> bytes:
        """A request that the contract allows, as far as the generator knows."""
        layout = self.rules.inputs[method]
        make = self._good.get(method)
        return self._noted(method, bytes(make(layout) if make else layout.build({})))

    def spoilt(self, method: str) -> bytes:
        """A good one with one to three numbers replaced."""
        layout = self.rules.inputs[method]
        make = self._good.get(method)
        data = make(layout) if make else bytearray(layout.size)
        for _ in range(1 + self.random.getrandbits(2) // 2):
            if layout.scalars:
                group = layout.groups[int(self.random.random() * len(layout.groups))]
                scalar = group[int(self.random.random() * len(group))]
                layout.put(data, scalar, self.wild())
        self._tame(method, layout, data)
        return self._noted(method, bytes(data))

    def with_field(self, method: str, scalar: Scalar, value: int) -> bytes:
        """A good one with this number in it."""
        layout = self.rules.inputs[method]
        make = self._good.get(method)
        data = make(layout) if make else bytearray(layout.size)
        layout.put(data, scalar, value)
        self._tame(method, layout, data)
        return self._noted(method, bytes(data))

    def wild(self) -> int:
        """A number to be afraid of, or any number."""
        bits = self.random.getrandbits(8)
        return WILD[bits % len(WILD)] if bits < 200 else self.random.getrandbits(64)

    def noise(self, size: int) -> bytes:
        """Any bytes."""
        return self.random.randbytes(size)

    def _noted(self, method: str, data: bytes) -> bytes:
        if method == "create_worker":
            self.guess.creates += 1
        elif method == "start_load":
            self.guess.loads += 1
        return data

    def _tame(self, method: str, layout: Layout, data: bytearray) -> None:
        """What the driver may take as it is must not keep the guest busy for minutes."""
        if method == "create_worker":
            limit = self.contract.constants.get("HOTSWAP_MAX_WORK_MICROSECONDS", 0)
            work = layout.get(data, "work_microseconds")
            if work > _WORK_MOST and (not limit or work <= limit):
                layout.put(data, layout.first["work_microseconds"], work % _WORK_MOST)
            # A time-out that is over makes a loop without a wait of it.
            if layout.get(data, "has_timeout") == 1:
                layout.put(data, layout.first["timeout"], -200_000 - self.random.getrandbits(22))
        elif method == "start_load":
            if layout.get(data, "flags") == 0:
                layout.put(data, layout.first["signal_limit"], 1 + self.random.getrandbits(8))
            if layout.get(data, "rate_per_second") > 20_000:
                layout.put(data, layout.first["rate_per_second"], 20_000)
        elif method == "configure":
            # The host's faults on purpose leave things behind.
            if 0 < layout.get(data, "host_fault") < 16:
                layout.put(data, layout.first["host_fault"], 0)
            if layout.get(data, "ring_slots") > 4096 and layout.get(data, "ring_slots") <= 1 << 20:
                layout.put(data, layout.first["ring_slots"], 4096)

    # Good requests

    def keep_workers(self) -> None:
        """The workers made so far shall last; those that a number to be afraid of would stop cannot be counted on."""
        self.guess.lasting = [worker for worker in range(1, self.guess.creates + 1) if worker not in WILD]

    def _lasting_worker(self) -> int:
        """One that is there, as often as not."""
        lasting = self.guess.lasting
        if lasting and self.random.getrandbits(1):
            return lasting[int(self.random.random() * len(lasting))]
        return self._some_worker()

    def _some_worker(self) -> int:
        alive = self.guess.alive
        roll = self.random.random()
        if alive and roll < 0.9:
            return alive[int(roll / 0.9 * len(alive))]
        return self.random.randrange(0, self.guess.creates + 4)

    def _configure(self, layout: Layout) -> bytearray:
        return layout.build({"runtime": self.random.choice((0, 2, 3)), "ring_slots": 4096, "drain_timeout_ms": 1000})

    def _create_worker(self, layout: Layout) -> bytearray:
        random = self.random
        count = random.choice((1, 1, 1, 2, 3, 8, 63, 64))
        timed = random.random() < 0.1
        data = layout.build(
            {
                "wait_type": 1 if random.random() < 0.8 else 0,
                "event_count": count,
                "has_timeout": int(timed),
                "timeout": -200_000 - random.getrandbits(22) if timed else 0,
                "notification_mask": 0,
                "initial_state_mask": random.getrandbits(64) & ((1 << count) - 1) if random.random() < 0.3 else 0,
                "work_microseconds": random.choice((0, 0, 0, 0, 100)),
            }
        )
        self.guess.alive.append(self.guess.creates + 1)
        if len(self.guess.alive) > _MAX_ALIVE:
            del self.guess.alive[0]
        return data

    def _worker(self, layout: Layout) -> bytearray:
        return layout.build({"worker_id": self._lasting_worker()})

    def _stop_worker(self, layout: Layout) -> bytearray:
        worker = self._some_worker()
        return layout.build({"worker_id": 0 if worker in self.guess.lasting else worker})

    def _event(self, layout: Layout) -> bytearray:
        return layout.build(
            {"worker_id": self._lasting_worker(), "event_index": self.random.choice((0, 0, 0, 0, 1, 2, 62))}
        )

    def _start_load(self, layout: Layout) -> bytearray:
        random = self.random
        targets = random.choice((1, 1, 2, 5, 256))
        values = {"target_count": targets, "seed": random.getrandbits(64)}
        if random.random() < 0.25:
            values["flags"] = 1
        else:
            values |= {"threads": random.choice((1, 1, 2, 8)), "rate_per_second": random.choice((0, 100, 2000))}
            values["signal_limit"] = 1 + random.getrandbits(8)
        data = layout.build(values)
        at = layout.first["targets"].offset
        worker = self._lasting_worker()
        for target in range(targets):
            data[at + 8 * target : at + 8 * target + 4] = worker.to_bytes(4, "little")
        self.guess.alive_loads.append(self.guess.loads + 1)
        return data

    def _stop_load(self, layout: Layout) -> bytearray:
        loads = self.guess.alive_loads
        if loads and self.random.random() < 0.8:
            return layout.build({"load_id": loads.pop(0)})
        return layout.build({"load_id": self.random.randrange(0, self.guess.loads + 3)})

    def update_to(self, name: str, drain_timeout_ms: int = 0) -> bytes:
        """A request for an update to the service of this name, cut to its room."""
        layout = self.rules.inputs["update"]
        data = layout.build({"drain_timeout_ms": drain_timeout_ms})
        at = layout.first["service_name"].offset
        text = name.encode("utf-16-le")[: layout.size - at]
        data[at : at + len(text)] = text
        return bytes(data)

    def _update(self, _layout: Layout) -> bytearray:
        name = self.random.choice(self._services) if self.random.random() < 0.5 else self.random.choice(_NAMES)
        return bytearray(self.update_to(name, self.random.choice((0, 0, 1, 50, 1000))))

    def _probe(self, layout: Layout) -> bytearray:
        return layout.build({"missing_mask": self.random.getrandbits(7) & self.random.getrandbits(7)})

    def _call_endpoint(self, layout: Layout) -> bytearray:
        data = layout.build({"endpoint_id": 3, "argument_count": 6})
        at = layout.first["arguments"].offset
        data[at : at + 48] = self.random.randbytes(48)
        return data


def near(contract: IoctlContract, random: Random) -> int:
    """A code that no request has: close to one that is, of another method or device, or any number."""
    known = {ioctl.code for ioctl in contract.ioctls.values()}
    codes = sorted(known)
    while True:
        code = codes[int(random.random() * len(codes))]
        roll = random.getrandbits(2)
        if roll == 0:
            code = codes[-1] + 4 * (1 + random.getrandbits(6))
        elif roll == 1:
            code ^= 1 << random.randrange(32)
        elif roll == 2:
            code = code & ~3 | 1 + random.randrange(3)
        else:
            code = random.getrandbits(32)
        if code not in known:
            return code


def buffered(code: int) -> bool:
    """Whether the code is METHOD_BUFFERED."""
    return code & 3 == 0


def output_sizes(ioctl: Ioctl) -> tuple[int, int]:
    """The least output size that is enough, and one that is more."""
    return ioctl.output_size, ioctl.output_size + 8
