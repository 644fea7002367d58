"""The contract of a machine: where a guest runs. Verbs only; policy lives with the callers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, Self

from hotswap.deadline import Deadline
from hotswap.errors import HotswapError, UsageError
from hotswap.machine.restore import RestoreLevel

if TYPE_CHECKING:
    from hotswap.driver.deploy import DeployAgent
    from hotswap.transport.agent import Agent
    from hotswap.transport.base import Reconnection, Transport

# What leaving a `with` block may take: an orderly stop, then force.
STOP_SECONDS = 15.0


class Machine(ABC):
    """One guest. Started once, stopped once; a broken one keeps its first cause and is thrown away.

    `start` raises LabFault when the lab cannot give a guest; the machine is then already cleaned up.
    """

    name: str
    shares_files: ClassVar[bool] = False
    """Whether a file of the guest can be seen here as it is, also while it is written."""
    ntoskrnl: Path
    """The guest's own kernel image as a file on this host: preflight compares a driver's imports with it."""

    slowdown: float = 1.0
    """How much longer than in the embedded guest things may take here, where a limit is not about the driver."""

    def expect_agent(self, agent_exe: Path) -> None:  # noqa: B027 - most kinds start it when somebody connects
        """Say before `start` which agent will be connected: a kind that starts from a kept guest has it there then."""

    @abstractmethod
    def start(self, deadline: Deadline) -> None:
        """Bring the guest up until services can be started in it."""

    @abstractmethod
    def stop(self, deadline: Deadline) -> None:
        """End the guest, orderly and then by force, and remove what it left. Harmless when repeated."""

    @abstractmethod
    def kill(self) -> None:
        """End the guest at once, like a power cut. Evidence stays until `stop`."""

    @abstractmethod
    def alive(self) -> str | None:
        """None while the guest runs, else what became of it: fits `Deadline.wait_for(alive=...)`."""

    @abstractmethod
    def diagnose(self, folder: Path, deadline: Deadline | None = None) -> list[Path]:
        """Collect evidence into `folder`, in every state of the guest, and return the files. Never raises."""

    def blame(self, deadline: Deadline) -> HotswapError | None:
        """What has become of the machine itself: GuestFault when its guest did it (a panic, a hang), else LabFault.

        None: nothing that this kind of machine can see; what went wrong is then for others to say.
        """
        return None

    def keep_evidence(self, folder: Path) -> None:  # noqa: B027 - most kinds have nothing of the past
        """Say before `start` where evidence will go: a start that fails leaves it there, before it cleans up.

        From then on the machine keeps what a later `diagnose` can only show of the past: its screen.
        """

    @abstractmethod
    def connect_agent(self, agent_exe: Path, deadline: Deadline) -> Transport:
        """Put the agent into the guest, start it, and return the byte stream to it."""

    def reconnection(self) -> Reconnection | None:
        """How a client comes back to the agent when its stream breaks; None where the agent ends with its stream."""
        return None

    def clock_problem(self, deadline: Deadline) -> str | None:
        """What is off with the guest's clocks since its start; None: nothing, as where it goes by this host's.

        LabFault when they cannot be read.
        """
        return None

    def carrying(self, agent: Agent, files: Sequence[Path], deadline: Deadline) -> AbstractContextManager[DeployAgent]:
        """What puts these files into the guest: the agent, unless the machine has another way. Names are unique."""
        return nullcontext(agent)

    @abstractmethod
    def guest_path(self, host: Path) -> str:
        """What the guest calls this file of the host; UsageError when the guest cannot see it."""

    def snapshot(self, name: str, deadline: Deadline) -> None:
        """Keep the guest's present state under a name."""
        raise UsageError(f"a machine of kind {self.name!r} has no snapshots; start a fresh one instead")

    def restore(self, name: str, deadline: Deadline) -> None:
        """Return to a kept state."""
        raise UsageError(f"a machine of kind {self.name!r} has no snapshots; start a fresh one instead")

    @property
    def restore_costs(self) -> Mapping[RestoreLevel, float]:
        """The levels by which this guest can be restored between tests, and what each takes in seconds; DRIVER always.

        MEMORY is a new machine in its place. Empty: whoever asks goes on with the guest as it is, or throws it away.
        """
        return {}

    def restore_to(self, level: RestoreLevel, deadline: Deadline) -> None:
        """Restore DRIVER or DISK, when the machine offers it. Streams to the agent end with DISK.

        Afterwards the guest's identity and clock are as they should be: LabFault, ClockOff when not.
        """
        raise UsageError(f"a machine of kind {self.name!r} is not restored; start a fresh one instead")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(Deadline.after(STOP_SECONDS))
