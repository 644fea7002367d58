"""Judges what came of a batch: statuses, output bytes, and the driver's own counters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from hotswap.fuzz.rules import Rules
from hotswap.fuzz.script import BEGIN, CALL, OPEN, READ, WRITE, Step
from hotswap.transport.protocol import AgentContract
from hotswap.transport.replies import ScriptOutcome

HELD = (
    "workers", "threads", "allocations", "events", "references", "endpoint_drivers", "proxy_extensions",
    "proxy_wrappers", "proxy_threads", "proxy_allocations", "proxy_active_calls",
)  # fmt: skip
_NEGATIVE = 1 << 31


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong: of which kind, and where in the batch (-1: not with one step)."""

    kind: str
    text: str
    at: int = -1


@dataclass(slots=True)
class Model:
    """How many workers there are, as far as replies tell: between `least` and `most`."""

    least: int = 0
    most: int = 0
    orphans: int = 0
    """Requests whose handle was closed while they were queued; `cancelled` of them ended so."""
    cancelled: int = 0
    statuses: dict[int, int] = field(default_factory=dict)


class Oracle:
    """One epoch's judge."""

    def __init__(self, rules: Rules, agent: AgentContract) -> None:
        self.rules = rules
        self.model = Model()
        self._done = agent["HSAGENT_SCRIPT_DONE"]
        self._overrun = agent["HSAGENT_SCRIPT_OVERRUN"]
        self._timed_out = agent["HSAGENT_SCRIPT_TIMED_OUT"]
        self._hung = agent["HSAGENT_SCRIPT_HUNG"]
        self._outputs: Mapping[str, Callable[[Step, bytes], str]] = {
            "create_worker": self._created,
            "stop_worker": self._stopped,
            "query_worker": self._worker_info,
            "signal_event": self._event_reply,
            "clear_event": self._event_reply,
            "query_event": self._event_reply,
            "query_counters": self._counters,
            "get_version": self._version,
        }

    def judge(self, steps: Sequence[Step], outcomes: Sequence[ScriptOutcome]) -> list[Finding]:
        """All that is wrong with a batch, in order."""
        findings: list[Finding] = []
        for at, (step, outcome) in enumerate(zip(steps, outcomes, strict=False)):
            wrong = self._one(step, outcome)
            if wrong is not None:
                findings.append(Finding(wrong[0], f"step {at}, {self.describe(step)}: {wrong[1]}", at))
        if len(outcomes) < len(steps) and not findings:
            findings.append(Finding("hang", f"the script ended after {len(outcomes)} of {len(steps)} steps"))
        return findings

    def describe(self, step: Step) -> str:
        """A step in words."""
        item = step.item
        if item.action not in (CALL, BEGIN):
            return {OPEN: "open", READ: "read", WRITE: "write"}.get(item.action, f"action {item.action}")
        name = step.method or "an unknown code"
        shown = item.data[:32].hex() + ("..." if len(item.data) > 32 else "")
        sizes = f"{len(item.data)} bytes in ({shown or '-'}), {item.out_size} out"
        return f"{name} (0x{item.code:08X}) on handle {item.handle} with {sizes}"

    def _one(self, step: Step, outcome: ScriptOutcome) -> tuple[str, str] | None:
        flags, status = outcome.flags, outcome.status
        if flags & (self._hung | self._timed_out):
            how = "nor after it was cancelled" if flags & self._hung else "and ended when it was cancelled"
            return "hang", f"it did not end in time, {how}"
        if step.expected is None and step.method is None:
            return None
        self.model.statuses[status] = self.model.statuses.get(status, 0) + 1
        if flags & self._overrun:
            return "output", f"output was written behind the {outcome.size} bytes that were announced"
        if not self._allowed(step, status):
            wanted = " or ".join(sorted(map(self.rules.codes.ntstatus, step.expected or ())))
            return "status", f"{self.rules.codes.ntstatus(status)}, expected {wanted}"
        if step.item.action in (CALL, BEGIN):
            return self._output(step, outcome)
        return None

    def _allowed(self, step: Step, status: int) -> bool:
        if step.closed and step.pended:
            self._orphan(step, status)
            return True
        if step.expected is None or status in step.expected:
            return True
        waits = step.pended and not step.expected & (self.rules.bad_length | self.rules.small_output)
        if waits and step.may_cancel and status == self.rules.cancelled:
            return True
        return step.in_shutdown and (
            (waits and status == self.rules.gone) or (step.method == "shutdown" and status == self.rules.gone)
        )

    def _orphan(self, step: Step, status: int) -> None:
        self.model.orphans += 1
        self.model.cancelled += status == self.rules.cancelled
        if step.method == "create_worker":
            self.model.most += 1
        elif step.method == "stop_worker":
            self.model.least -= 1

    def _output(self, step: Step, outcome: ScriptOutcome) -> tuple[str, str] | None:
        if outcome.status >= 0x80000000 or not step.method or (step.closed and step.pended):
            return None
        ioctl = self.rules.contract.ioctls[step.method]
        if ioctl.trailing:
            fits = ioctl.output_size <= outcome.size <= step.item.out_size
            return None if fits else ("output", f"{outcome.size} bytes of output in a buffer of {step.item.out_size}")
        if outcome.size != ioctl.output_size:
            return "output", f"{outcome.size} bytes of output, the contract says {ioctl.output_size}"
        layout = self.rules.outputs[step.method]
        for at in layout.zero:
            if at < len(outcome.data) and outcome.data[at]:
                return "output", f"byte {at} of the output, which holds nothing, is 0x{outcome.data[at]:02x}"
        for scalar in layout.scalars:
            if scalar.enum:
                value = int.from_bytes(outcome.data[scalar.offset : scalar.offset + scalar.size], "little")
                if value not in scalar.enum:
                    return "output", f"{scalar.attribute} is {value}, which its enumeration does not have"
        check = self._outputs.get(step.method)
        wrong = check(step, outcome.data) if check else ""
        return ("counters" if step.method == "query_counters" else "output", wrong) if wrong else None

    # What outputs say

    def _created(self, _step: Step, data: bytes) -> str:
        get = self.rules.outputs["create_worker"].get
        worker, status = get(data, "worker_id"), get(data, "status")
        if (worker != 0) != (status < _NEGATIVE):
            return f"worker {worker} with status {self.rules.codes.ntstatus(status)}"
        if worker:
            self.model.least += 1
            self.model.most += 1
        return ""

    def _stopped(self, step: Step, data: bytes) -> str:
        get = self.rules.outputs["stop_worker"].get
        if get(data, "worker_id") != int.from_bytes(step.item.data[:4], "little"):
            return f"it names worker {get(data, 'worker_id')}"
        if get(data, "status") == 0:
            self.model.least -= 1
            self.model.most -= 1
        return ""

    def _worker_info(self, step: Step, data: bytes) -> str:
        layout = self.rules.outputs["query_worker"]
        get, constants = layout.get, self.rules.contract.constants
        if get(data, "worker_id") != int.from_bytes(step.item.data[:4], "little"):
            return f"it names worker {get(data, 'worker_id')}"
        count = get(data, "version_count")
        if (
            count > constants["HOTSWAP_MAX_VERSIONS"]
            or not 1 <= get(data, "event_count") <= constants["HOTSWAP_MAX_EVENTS"]
        ):
            return f"{count} versions, {get(data, 'event_count')} events"
        if get(data, "state") > 3:
            return f"state {get(data, 'state')}"
        behind = data[layout.first["versions"].offset + 16 * count :]
        return "there are bytes behind the last version" if any(behind) else ""

    def _event_reply(self, _step: Step, data: bytes) -> str:
        get = self.rules.outputs["query_event"].get
        if get(data, "accepted") > get(data, "signals"):
            return f"{get(data, 'accepted')} of {get(data, 'signals')} signals accepted"
        if get(data, "previous_state") > 1 or get(data, "notification") > 1:
            return f"previous state {get(data, 'previous_state')}, notification {get(data, 'notification')}"
        return ""

    def _version(self, _step: Step, data: bytes) -> str:
        get = self.rules.outputs["get_version"].get
        slots = get(data, "ring_slots")
        if get(data, "runtime") > 3 or get(data, "etw_enabled") > 1 or slots == 0 or slots & (slots - 1):
            return f"runtime {get(data, 'runtime')}, {slots} ring slots, ETW {get(data, 'etw_enabled')}"
        return ""

    def _counters(self, step: Step, data: bytes) -> str:
        get = self.rules.outputs["query_counters"].get
        for name in HELD:
            if get(data, name) >= _NEGATIVE:
                return f"the counter {name} is {get(data, name) - (1 << 32)}"
        if step.item.action != CALL:
            return ""
        workers = get(data, "workers")
        if step.in_shutdown:
            left = [f"{get(data, name)} {name}" for name in HELD if get(data, name)]
            return f"left after the shutdown: {', '.join(left)}" if left else ""
        if not self.model.least <= workers <= self.model.most:
            told = f"{self.model.least} to {self.model.most}" if self.model.least < self.model.most else self.model.most
            return f"the driver counts {workers} workers, by its replies there are {told}"
        return ""
