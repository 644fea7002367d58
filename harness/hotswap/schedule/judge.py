"""What must hold of the events of one schedule: the swap expectations, in small."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hotswap.schedule.model import Scenario, Written

OLD, NEW = 1, 2


def judge(scenario: Scenario, log: Sequence[Written]) -> list[str]:
    """Everything that does not hold, one sentence each; `log` is complete and in the order of time."""
    return [
        *_signals(scenario, log),
        *_stalled(log),
        *_versions(scenario, log),
        *_images(log),
        *_end(scenario, log),
    ]


def _signals(scenario: Scenario, log: Sequence[Written]) -> Iterator[str]:
    """Each signal that was accepted is one iteration: none is lost, none is made up."""
    for worker in range(1, len(scenario.signals) + 1):
        own = [e for e in log if e.fields.get("worker") == worker]
        accepted = sum(1 for e in own if e.event == "SignalEnd" and e.fields["accepted"])
        ran = sum(1 for e in own if e.event == "IterationEnd")
        worked = sum(1 for e in own if e.event == "EndpointWork")
        if ran < accepted:
            yield f"worker {worker} accepted {accepted} signals and ran {ran} iterations: a wake-up was lost"
        if ran > accepted:
            yield f"worker {worker} accepted {accepted} signals and ran {ran} iterations: one that nobody asked for"
        if worked != ran:
            yield f"worker {worker} ran {ran} iterations, and the endpoint driver worked in {worked}"


def _stalled(log: Sequence[Written]) -> Iterator[str]:
    """No call begins while they are held, and none is inside once the swap says that it has drained."""
    stalled = drained = False
    inside: set[int] = set()
    for e in log:
        if e.event in ("StallSet", "SwapDrained", "SwapReleased"):
            stalled = e.event != "SwapReleased"
            drained = e.event == "SwapDrained"
            if drained and inside:
                yield f"the swap had drained with worker {min(inside)} in an iteration"
        elif e.event == "IterationBegin":
            inside.add(e.fields["worker"])
            if stalled:
                yield f"worker {e.fields['worker']} began an iteration while calls were held"
        elif e.event == "IterationEnd":
            inside.discard(e.fields["worker"])
        elif e.event == "EndpointWork" and drained:
            yield f"worker {e.fields['worker']} worked after the drain"


def _versions(scenario: Scenario, log: Sequence[Written]) -> Iterator[str]:
    """An iteration is one version's alone, and that is the one in force."""
    in_force = OLD
    for e in log:
        if e.event == "SwapSwitched":
            in_force = NEW
        elif e.event == "SwapRolledBack":
            in_force = OLD
        elif e.event in ("IterationBegin", "EndpointWork") and e.fields["version"] != in_force:
            yield f"{e} with version {in_force} in force"
    wanted = OLD if scenario.refused else NEW
    if in_force != wanted:
        yield f"version {in_force} is in force in the end, and {wanted} should be"


def _images(log: Sequence[Written]) -> Iterator[str]:
    """An image that leaves has no call inside, and none comes later."""
    inside: dict[int, int] = {}
    gone: set[int] = set()
    for e in log:
        if e.event == "IterationBegin":
            inside[e.fields["worker"]] = e.fields["version"]
        elif e.event == "IterationEnd":
            inside.pop(e.fields["worker"], None)
        elif e.event == "EndpointUnloaded":
            gone.add(e.fields["version"])
            if e.fields["version"] in inside.values():
                yield f"version {e.fields['version']} was unloaded with an iteration of it under way"
        elif e.event == "Crash" or (e.event == "EndpointWork" and e.fields["version"] in gone):
            yield f"worker {e.fields['worker']} was in version {e.fields['version']} after that had been unloaded"


def _end(scenario: Scenario, log: Sequence[Written]) -> Iterator[str]:
    """The swap has come to its end, with the version that it should, and the other one has left."""
    wanted = OLD if scenario.refused else NEW
    ends = [e.fields["version"] for e in log if e.event == "SwapEnd"]
    left = [e.fields["version"] for e in log if e.event == "EndpointUnloaded"]
    if not ends:
        yield "the swap did not come to its end"
        return
    if ends != [wanted]:
        yield f"the swap ended with version {ends[0]}, and not with {wanted}"
    if left != [NEW if wanted == OLD else OLD]:
        yield f"versions {left} were unloaded, and not the one that left"
