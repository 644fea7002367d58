"""Scripts for the conformance driver: a list of steps, kept as a JSON file that can be read and repeated.

A step asks the driver for one thing. It names objects by small numbers of its own: extensions, workers, lanes (driver
threads), events, gates, and functions as (version, endpoint).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from hotswap.errors import UsageError

SCHEMA = 1

NONE = -1
"""No owner, no gate, no event; as an extension: the NULL pointer."""

EXTENSIONS = 3
WORKERS = 4
LANES = 4
EVENTS = 6
GATES = 4
VERSIONS = (1, 2, 3, 4)
ENDPOINTS = 4
IDS = (0, 1, 2, 3)
"""Of endpoints. Those below `ECHO_IDS` are worker routines, as are the functions of these numbers."""
ECHO_IDS = 2
UNKNOWN_ID = 77
OWNERS = 2
"""0 is the conformance driver itself, 1 a helper driver that can be unloaded."""

Function = tuple[int, int]
"""Version and endpoint."""


def _kebab(name: str) -> str:
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("-")


class Step(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="step", tag=_kebab):
    """One request. Equal steps are equal values."""

    @property
    def kind(self) -> str:
        """Its name in a file."""
        return _kebab(type(self).__name__)


class CreateExtension(Step, frozen=True, omit_defaults=True):
    """IoCreateDriverProxyExtension; `flags` as they are."""

    extension: int
    owner: int = NONE
    flags: int = 0


class DeleteExtension(Step, frozen=True, omit_defaults=True):
    """HsDeleteDriverProxyExtension."""

    extension: int


class SetOptions(Step, frozen=True, omit_defaults=True):
    """The named switches of an extension, all at once."""

    extension: int
    short_drain: bool = False
    """A drain limit that is over within the step, or one that no step reaches."""
    true_ends: bool = False
    zero_events: bool = False
    raw_routine: bool = False
    keep_after_post: bool = False


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """An element of a registration: [id, version, endpoint, parameters]; version 0 is the NULL function."""

    id: int
    version: int
    endpoint: int
    parameters: int


class Phase(msgspec.Struct, frozen=True, omit_defaults=True, array_like=True):
    """What the callback does in one phase: [status it returns, gate it waits at first]."""

    status: int = 0
    gate: int = NONE


class Register(Step, frozen=True, omit_defaults=True):
    """IoRegisterDriverProxyEndpoints on a lane: first registration and swap."""

    lane: int
    extension: int
    entries: tuple[Entry, ...] = ()
    callback: tuple[Phase, Phase, Phase] | None = None
    null_array: bool = False
    fail: int = 0
    """This allocation of the call fails, counted from 1; 0: none."""


class Call(Step, frozen=True, omit_defaults=True):
    """Call the wrapper of an endpoint on a lane."""

    lane: int
    extension: int
    id: int


class InitEvent(Step, frozen=True, omit_defaults=True):
    """KeInitializeEvent."""

    event: int
    notification: bool = False
    signalled: bool = False


class Signal(Step, frozen=True, omit_defaults=True):
    """KeSetEvent for each in order, without a pause."""

    events: tuple[int, ...]


class Clear(Step, frozen=True, omit_defaults=True):
    """KeClearEvent."""

    event: int


class OpenGate(Step, frozen=True, omit_defaults=True):
    """Let through who waits at it, and who comes later."""

    gate: int


class CloseGate(Step, frozen=True, omit_defaults=True):
    """Whoever comes to it waits."""

    gate: int


class Behave(Step, frozen=True, omit_defaults=True):
    """What a function does: set and clear an event, wait at a gate, call a wrapper, return a raw value."""

    version: int
    endpoint: int
    value: int = 1
    sets: int = NONE
    clears: int = NONE
    gate: int = NONE
    nested: tuple[int, int] | None = None
    """Extension and id of the wrapper that it calls; there is one when this is set."""


class CreateWorker(Step, frozen=True, omit_defaults=True):
    """IoDriverProxyCreateHotSwappableWorkerThread; every field as it is."""

    worker: int
    extension: int
    id: int = 0
    routine: str = "wrapper"
    """`wrapper` of `id`; `null`; `raw`: the function `function` itself; `foreign`: wrapper of `id` of extension
    `foreign`; `garbage`: an address inside a wrapper."""
    function: Function = (1, 0)
    foreign: int = NONE
    wait: int = 1
    """WAIT_TYPE: 0 all, 1 any; others are refused."""
    mode: int = 0
    """KPROCESSOR_MODE: 0 kernel, 1 user; others are refused."""
    events: tuple[int, ...] = ()
    """-1 is a NULL pointer."""
    count: int = NONE
    """EventCount, when it is not the number of events."""
    timeout: str = "none"
    """`none`; `ignored`: a value without HasTimeout; `long`, `far` (absolute): not reached; `short`; `zero`; `past`."""
    reason: int = 0
    alertable: bool = False
    attributes: bool = False
    """With ObjectAttributes, ProcessHandle and ClientId, or with none of them."""
    fail: int = 0


class CloseHandle(Step, frozen=True, omit_defaults=True):
    """ZwClose of a worker's handle; the thread goes on."""

    worker: int


class ForgetWorker(Step, frozen=True, omit_defaults=True):
    """Let go of a worker that has ended; its number is free again."""

    worker: int


class LoadOwner(Step, frozen=True, omit_defaults=True):
    """Load the helper driver, owner 1."""


class UnloadOwner(Step, frozen=True, omit_defaults=True):
    """Unload it, and with it the extension that it owns."""


AnyStep = (
    CreateExtension
    | DeleteExtension
    | SetOptions
    | Register
    | Call
    | InitEvent
    | Signal
    | Clear
    | OpenGate
    | CloseGate
    | Behave
    | CreateWorker
    | CloseHandle
    | ForgetWorker
    | LoadOwner
    | UnloadOwner
)


class Script(msgspec.Struct, frozen=True, omit_defaults=True):
    """Steps, and what became of them where that is why the file was kept."""

    steps: tuple[AnyStep, ...]
    schema: int = msgspec.field(default=0)
    seed: int | None = None
    problem: str = ""
    """What differed, and at which step (from 0)."""

    @classmethod
    def of(cls, steps: Sequence[Step], *, seed: int | None = None, problem: str = "") -> Script:
        """A script of this version."""
        return cls(tuple(steps), schema=SCHEMA, seed=seed, problem=problem)  # type: ignore[arg-type]

    def save(self, path: Path) -> Path:
        """Write it, a step a line."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.to_text(), encoding="utf-8")
        return path

    def to_text(self) -> str:
        """The content of its file."""
        head = {"schema": self.schema, "seed": self.seed, "problem": self.problem}
        lines = [f" {_json(name)}: {_json(value)}," for name, value in head.items()]
        steps = ",\n".join(f"  {_json(step)}" for step in self.steps)
        return "\n".join(["{", *lines, ' "steps": [', steps, " ]", "}", ""])

    @classmethod
    def load(cls, path: Path) -> Script:
        """Read it. UsageError: no such file, no script, or one of another version."""
        try:
            script = msgspec.json.decode(path.read_bytes(), type=cls)
        except (OSError, msgspec.MsgspecError) as error:
            raise UsageError(f"{path} cannot be read as a script: {error}") from error
        if script.schema != SCHEMA:
            raise UsageError(f"{path} is of schema {script.schema}; this program reads schema {SCHEMA}")
        return script


def _json(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=0).decode()
