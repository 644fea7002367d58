"""Operations of the agent on services of the guest."""

from __future__ import annotations

from hotswap.deadline import Deadline
from hotswap.transport.agent_calls import AgentCalls, AgentError
from hotswap.transport.protocol import PayloadWriter
from hotswap.transport.replies import ServiceState, ServiceStatus

_NO_SERVICE = 1060


class ServiceCalls(AgentCalls):
    """Kernel drivers as services."""

    def service_create(self, name: str, guest_path: str, *, deadline: Deadline) -> None:
        """Register a kernel driver, to be started on demand."""
        payload = PayloadWriter().text(name, guest_path).finish()
        self._call("ServiceCreate", payload, deadline, f"create service {name} ({guest_path})").finish()
        self.changes.service_made(name)

    def service_start(self, name: str, *, deadline: Deadline) -> None:
        """Start it; returns when the driver's DriverEntry has."""
        payload = PayloadWriter().text(name).finish()
        self._call("ServiceStart", payload, deadline, f"start service {name}", run_async=True).finish()

    def service_stop(self, name: str, *, deadline: Deadline) -> ServiceState:
        """Stop it and wait until the service manager says that it is stopped."""
        payload = PayloadWriter().text(name).finish()
        self._call("ServiceStop", payload, deadline, f"stop service {name}", run_async=True)
        seen = ["nothing"]

        def stopped() -> ServiceState | None:
            state = self.service_query(name, deadline=deadline)
            seen.append(state.status.name)
            return state if state.status is ServiceStatus.STOPPED else None

        return deadline.wait_for(stopped, f"service {name} to stop", last_seen=lambda: seen[-1])

    def service_delete(self, name: str, *, deadline: Deadline) -> None:
        """Unregister it; it is gone when the last handle to it is closed."""
        payload = PayloadWriter().text(name).finish()
        self._call("ServiceDelete", payload, deadline, f"delete service {name}").finish()
        self.changes.service_removed(name)

    def service_query(self, name: str, *, deadline: Deadline) -> ServiceState:
        """Its state; AgentError 1060 when there is no such service."""
        reader = self._call("ServiceQuery", PayloadWriter().text(name).finish(), deadline, f"query service {name}")
        state = ServiceState(
            name=name,
            type=reader.u32(),
            status=ServiceStatus(reader.u32()),
            controls_accepted=reader.u32(),
            win32_exit=reader.u32(),
            specific_exit=reader.u32(),
            pid=reader.u32(),
            start_type=reader.u32(),
            binary_path=reader.text(),
        )
        reader.finish()
        return state

    def service_find(self, name: str, *, deadline: Deadline) -> ServiceState | None:
        """As service_query; None when there is no such service."""
        try:
            return self.service_query(name, deadline=deadline)
        except AgentError as error:
            if error.code == _NO_SERVICE:
                return None
            raise
