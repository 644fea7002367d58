"""After a power cut in mid-swap the guest comes back with drivers and services whole, and swaps again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from hotswap.deadline import Deadline
from hotswap.driver.build import DriverBuild
from hotswap.driver.deploy import deploy, undeploy
from hotswap.driver.package import DriverPackage
from hotswap.errors import HotswapError
from hotswap.faults.consistency import check_consistency
from hotswap.faults.power_cut import CUT_POINTS, cut_power
from hotswap.machine.profile import load_profile
from hotswap.machine.qemu import QemuMachine
from hotswap.machine.standin_view import DRIVE_C
from hotswap.transport.agent import Agent
from hotswap.transport.protocol import AgentContract

DRIVERS = f"{DRIVE_C}/windows/system32/drivers"
AFTER_THE_SWITCH = next(point for point in CUT_POINTS if point.moment == "SwapSwitched:2")
Spoil = Callable[[QemuMachine, Agent], object]


def limit() -> Deadline:
    return Deadline.after(60)


def test_the_guest_comes_back_whole_and_swaps_again(build: DriverBuild) -> None:
    outcome = cut_power(build, AFTER_THE_SWITCH)
    assert outcome.problems == ()
    assert outcome.verdict == "pass"
    assert outcome.consistency is not None
    assert not any(each.lost for each in outcome.consistency.found)
    assert all(each.whole for each in outcome.consistency.found)


def test_cuts_go_through_the_whole_update() -> None:
    moments = [point.moment.partition(":")[0] for point in CUT_POINTS]
    assert moments == [
        "SwapBegin", "EndpointLoaded", "SwapStalled", "SwapDrained", "SwapSwitched", "SwapPostProcess",
        "EndpointUnloaded", "SwapEnd",
    ]  # fmt: skip


def tear(machine: QemuMachine, _agent: Agent) -> None:
    machine.control.put(f"{DRIVERS}/hotswap_v2.sys", b"MZ torn", deadline=limit())


def lose_image(machine: QemuMachine, _agent: Agent) -> None:
    machine.control.ask("remove", f"{DRIVERS}/hotswap_v1.sys", deadline=limit())


def lose_runtime(machine: QemuMachine, _agent: Agent) -> None:
    machine.control.ask("remove", f"{DRIVERS}/driverproxy.sys", deadline=limit())


def leave_running(_machine: QemuMachine, agent: Agent) -> None:
    agent.service_start("hotswap", deadline=limit())


def lose_services(_machine: QemuMachine, agent: Agent) -> None:
    for name in ("hotswap", "hotswap_v1", "hotswap_v2"):
        agent.service_delete(name, deadline=limit())


def nothing(_machine: QemuMachine, _agent: Agent) -> None:
    return


@pytest.fixture(scope="module")
def guest(build: DriverBuild) -> Iterator[tuple[QemuMachine, Agent]]:
    """One guest for all of it: each test deploys, and takes out what is left."""
    machine = QemuMachine(load_profile("standin"))
    machine.expect_agent(build.agent)
    with machine:
        machine.start(Deadline.after(300))
        transport = machine.connect_agent(build.agent, limit())
        with Agent(transport, AgentContract.load(build.agent_contract), build.codes) as agent:
            yield machine, agent


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (nothing, ""),
        (lose_services, ""),
        (tear, r"hotswap_v2.sys is torn"),
        (lose_image, "the service hotswap_v1 is there, and its image"),
        (lose_runtime, "driverproxy.sys is missing, and services that import it are there"),
        (leave_running, "hotswap run after the boot"),
    ],
)
def test_what_is_half_is_seen_and_what_is_whole_or_gone_is_not(
    build: DriverBuild, guest: tuple[QemuMachine, Agent], spoil: Spoil, told: str
) -> None:
    machine, agent = guest
    package = DriverPackage.of(build, ("v1", "v2"))
    deploy(agent, package.images, deadline=limit())
    try:
        spoil(machine, agent)
        found = check_consistency(agent, package.images, limit())
    finally:
        with suppress(HotswapError):
            agent.service_stop("hotswap", deadline=limit())
        undeploy(agent, package.images, deadline=limit())
    if told:
        assert any(told in problem for problem in found.problems), found.problems
    else:
        assert found.problems == ()
