"""The host driver's device with one typed method per IOCTL, for editors and type checkers.

`hotswap.driver.device.Device` serves any driver's contract; this one is driver/include/hotswap_ioctl.h, by name.
tests/plugin/test_host_device.py holds every method here against the contract that the build makes of the header.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from hotswap.deadline import Deadline
from hotswap.driver.device import DATA_BYTES, Device
from hotswap.driver.host_replies import (
    CallReply,
    Counters,
    EventReply,
    LoadId,
    LoadStopped,
    PauseArmed,
    PauseState,
    RingChunk,
    RuntimeInfo,
    StatusReply,
    UpdateReply,
    VersionInfo,
    WorkerCreated,
    WorkerInfo,
    WorkerStopped,
    typed,
)
from hotswap.driver.ioctl import ReplyWithData

RuntimeName = Literal["auto", "native", "compat", "plain"]
WaitName = Literal["all", "any"]
HostFaultName = Literal["none", "old-call", "keep-image", "keep-link", "keep-extension"]
Targets = Sequence[Mapping[str, int] | tuple[int, int]]
"""Events that a load signals: (worker_id, event_index)."""


class HostDevice(Device):
    r"""`\\.\HotSwap`, open. Arguments and replies are the fields of the header's structures, in their order.

    Every method takes `deadline=`; without it a call may take `hotswap.driver.device.CALL_SECONDS`. Names stand for the
    values of an enum. Raises GuestFault for what the driver refused, UsageError for values that do not fit.
    """

    def get_version(self, *, deadline: Deadline | None = None) -> VersionInfo:
        """The contract, the runtime in use, the version in force."""
        return typed(VersionInfo, self._send("get_version", deadline))

    def configure(
        self,
        runtime: int | RuntimeName = 0,
        ring_slots: int = 0,
        drain_timeout_ms: int = 0,
        invert_return: int = 0,
        host_fault: int | HostFaultName = 0,
        verbose: int = 0,
        join_timeout_ms: int = 0,
        *,
        deadline: Deadline | None = None,
    ) -> VersionInfo:
        """Choose a runtime and limits; refused once the device was used. `host_fault` breaks the host on purpose.

        `verbose` 1: the fine steps of the compat runtime become trace events (`ProxyWoken` to `ProxyReleaseDone`).
        `join_timeout_ms`: how long the end of a worker's thread is waited for (0: 10 s).
        """
        return typed(
            VersionInfo,
            self._send(
                "configure",
                deadline,
                runtime=runtime,
                ring_slots=ring_slots,
                drain_timeout_ms=drain_timeout_ms,
                invert_return=invert_return,
                host_fault=host_fault.replace("-", "") if isinstance(host_fault, str) else host_fault,
                verbose=verbose,
                join_timeout_ms=join_timeout_ms,
            ),
        )

    def create_worker(
        self,
        wait_type: int | WaitName = 0,
        wait_reason: int | str = 0,
        wait_mode: int = 0,
        altertable: int = 0,
        has_timeout: int = 0,
        event_count: int = 0,
        timeout: int = 0,
        notification_mask: int = 0,
        initial_state_mask: int = 0,
        work_microseconds: int = 0,
        *,
        deadline: Deadline | None = None,
    ) -> WorkerCreated:
        """Create a hot-swappable worker thread. `timeout` in 100 ns, negative relative; bit i of a mask: event i."""
        return typed(
            WorkerCreated,
            self._send(
                "create_worker",
                deadline,
                wait_type=wait_type,
                wait_reason=wait_reason,
                wait_mode=wait_mode,
                altertable=altertable,
                has_timeout=has_timeout,
                event_count=event_count,
                timeout=timeout,
                notification_mask=notification_mask,
                initial_state_mask=initial_state_mask,
                work_microseconds=work_microseconds,
            ),
        )

    def query_worker(self, worker_id: int = 0, *, deadline: Deadline | None = None) -> WorkerInfo:
        """State, iterations and last wait status of a worker."""
        return typed(WorkerInfo, self._send("query_worker", deadline, worker_id=worker_id))

    def stop_worker(self, worker_id: int = 0, *, deadline: Deadline | None = None) -> WorkerStopped:
        """End a worker and join its thread."""
        return typed(WorkerStopped, self._send("stop_worker", deadline, worker_id=worker_id))

    def alert_worker(self, worker_id: int = 0, *, deadline: Deadline | None = None) -> StatusReply:
        """Alert a worker's thread."""
        return typed(StatusReply, self._send("alert_worker", deadline, worker_id=worker_id))

    def signal_event(self, worker_id: int = 0, event_index: int = 0, *, deadline: Deadline | None = None) -> EventReply:
        """KeSetEvent."""
        fields = {"worker_id": worker_id, "event_index": event_index}
        return typed(EventReply, self._send("signal_event", deadline, **fields))

    def clear_event(self, worker_id: int = 0, event_index: int = 0, *, deadline: Deadline | None = None) -> EventReply:
        """KeResetEvent."""
        fields = {"worker_id": worker_id, "event_index": event_index}
        return typed(EventReply, self._send("clear_event", deadline, **fields))

    def query_event(self, worker_id: int = 0, event_index: int = 0, *, deadline: Deadline | None = None) -> EventReply:
        """KeReadStateEvent."""
        fields = {"worker_id": worker_id, "event_index": event_index}
        return typed(EventReply, self._send("query_event", deadline, **fields))

    def start_load(
        self,
        threads: int = 0,
        rate_per_second: int = 0,
        seed: int = 0,
        signal_limit: int = 0,
        target_count: int | None = None,
        flags: int = 0,
        targets: Targets = (),
        *,
        deadline: Deadline | None = None,
    ) -> LoadId:
        """Let driver threads signal events; `rate_per_second` over all of them, 0: as fast as it goes."""
        return typed(
            LoadId,
            self._send(
                "start_load",
                deadline,
                threads=threads,
                rate_per_second=rate_per_second,
                seed=seed,
                signal_limit=signal_limit,
                target_count=target_count,
                flags=flags,
                targets=targets,
            ),
        )

    def stop_load(self, load_id: int = 0, *, deadline: Deadline | None = None) -> LoadStopped:
        """End a load and join its threads."""
        return typed(LoadStopped, self._send("stop_load", deadline, load_id=load_id))

    def update(
        self, drain_timeout_ms: int = 0, service_name: str = "", *, deadline: Deadline | None = None
    ) -> UpdateReply:
        """Swap in the endpoint driver of this service; empty: take it off, to version 0."""
        fields = {"drain_timeout_ms": drain_timeout_ms, "service_name": service_name}
        return typed(UpdateReply, self._send("update", deadline, **fields))

    def query_counters(self, *, deadline: Deadline | None = None) -> Counters:
        """What is held now."""
        return typed(Counters, self._send("query_counters", deadline))

    def drain_trace(self, *, out_size: int = DATA_BYTES, deadline: Deadline | None = None) -> tuple[RingChunk, bytes]:
        """Take entries out of the trace ring; the running trace will not have them then."""
        reply: ReplyWithData = self.call("drain_trace", out_size=out_size, deadline=deadline)
        return typed(RingChunk, reply.header), reply.data

    def probe_runtime(
        self,
        missing_mask: int = 0,
        feature_flags: int = 0,
        create_status: int = 0,
        *,
        deadline: Deadline | None = None,
    ) -> RuntimeInfo:
        """Which runtime the host would choose on a kernel with these exports."""
        fields = {"missing_mask": missing_mask, "feature_flags": feature_flags, "create_status": create_status}
        return typed(RuntimeInfo, self._send("probe_runtime", deadline, **fields))

    def call_endpoint(
        self,
        endpoint_id: int = 0,
        argument_count: int | None = None,
        arguments: Sequence[int] = (),
        *,
        deadline: Deadline | None = None,
    ) -> CallReply:
        """Call an endpoint of the driver in force through its wrapper."""
        return typed(
            CallReply,
            self._send(
                "call_endpoint",
                deadline,
                endpoint_id=endpoint_id,
                argument_count=argument_count,
                arguments=arguments,
            ),
        )

    def shutdown(self, *, deadline: Deadline | None = None) -> Counters:
        """Stop workers and loads, take the endpoint driver off, and tell what is still held."""
        return typed(Counters, self._send("shutdown", deadline))

    def pause_arm(
        self, event_mask: int = 0, key: int = 0, nth: int = 0, *, deadline: Deadline | None = None
    ) -> PauseArmed:
        """Stop threads that write one of these trace events, right after they have written it.

        Bit i of `event_mask` is event i of hotswap_events.h. `key`: the event's first field, 0 any. `nth`: the Nth such
        event from now on, once; 0: every one. Threads that dispatch requests are never stopped.
        """
        return typed(PauseArmed, self._send("pause_arm", deadline, event_mask=event_mask, key=key, nth=nth))

    def pause_wait(self, arrivals: int = 0, *, deadline: Deadline | None = None) -> PauseState:
        """Wait until more than `arrivals` threads have been stopped since the driver started."""
        return typed(PauseState, self._send("pause_wait", deadline, arrivals=arrivals))

    def pause_query(self, *, deadline: Deadline | None = None) -> PauseState:
        """Who is stopped now."""
        return typed(PauseState, self._send("pause_query", deadline))

    def pause_release(self, arm_id: int = 0, thread_id: int = 0, *, deadline: Deadline | None = None) -> PauseState:
        """Let stopped threads go on; 0: of any arm, any thread."""
        return typed(PauseState, self._send("pause_release", deadline, arm_id=arm_id, thread_id=thread_id))

    def pause_clear(self, *, deadline: Deadline | None = None) -> PauseState:
        """Disarm all, and let all stopped threads go on; so does closing the device."""
        return typed(PauseState, self._send("pause_clear", deadline))

    def _send(self, method: str, deadline: Deadline | None, **fields: object) -> Any:
        # Zero is what a field is that is not given, so a driver of an older contract is not asked for newer fields.
        given: Any = {name: value for name, value in fields.items() if value is not None and value != 0}
        return self.call(method, deadline=deadline, **given)
