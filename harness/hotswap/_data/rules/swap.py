"""What a trace of the host driver must show, as an example of a file of rules: `hotswap trace check swap trace.etl`.

`hotswap swap` itself expects more, and knows more than the trace; these statements stand for themselves.
"""

from hotswap.trace.rules import (
    agree,
    all_of,
    count,
    each,
    event,
    latency,
    latest,
    machine,
    ne,
    never,
    pairs,
    sequence,
    total,
)

# A worker's life: its thread starts, iterates, and ends. Without an endpoint driver (version 0) nothing works.
way_of_a_worker = machine(
    {
        "new": {"WorkerThreadStart": "waiting"},
        "waiting": {"IterationBegin": "inside", "WorkerThreadEnd": "ended"},
        "inside": {"EndpointWork": "worked", event("IterationEnd", Version=0): "waiting"},
        "worked": {"IterationEnd": "waiting"},
    },
    per="Worker",
    start="new",
    end="ended",
)
one_thread_per_worker = each("IterationBegin").agrees_with("WorkerCreate", per="Worker", tid="WorkerThreadId")
ended_because_asked = each("WorkerThreadEnd").preceded_by(event("SignalBegin", Source=2), per="Worker")

# A swap that succeeds. (SwapFirstHeld is told by the thread that is held, and may be late.)
way_of_a_swap = sequence(
    "SwapBegin", "SwapPreProcess", "SwapStalled", "SwapDrained", "SwapProxyStalled", "SwapSwitched", "SwapReleased",
    "SwapPostProcess", "SwapEnd", per="Swap", repeats=False,
)  # fmt: skip
nothing_fails = never(event("Swap*", Status=ne(0)))
nothing_while_held = never(event("IterationBegin") | "EndpointWork").between(
    "SwapDrained", "SwapReleased", match="Swap"
)
hold_time = latency("SwapStalled", "SwapReleased", per="Swap").percentile(99).at_most("1 s")

# Versions are never mixed: what runs is what is in force, and the endpoint driver says so, too.
in_force = latest(event("SwapSwitched")["ToVersion"], event("SwapRolledBack")["FromVersion"], default=0)
versions = each(event("IterationBegin") | "EndpointWork").satisfies(Version=in_force)
same_version = each("EndpointWork").agrees_with(
    "IterationBegin", "Version", "WaitStatus", per=("Worker", "Iteration")
)  # fmt: skip
images = each(event("EndpointLoaded", Status=0)).followed_by("EndpointUnloaded", per="Version")

# Signals: each call returns, and the driver has counted what the trace has.
signals_return = pairs("SignalBegin", "SignalEnd", per=("Worker", "EventIndex", "Signal"))
signals_accounted = all_of(
    agree(event("HostStop")["Signals"], count("SignalEnd")),
    agree(event("HostStop")["Iterations"], count("IterationBegin")),
    agree(event("WorkerStop")["Iterations"], count("IterationBegin"), per="Worker"),
    agree(total(event("LoadStop")["Accepted"]), count(event("SignalEnd", Source=1, PreviousState=0))),
)
nothing_left = each("HostStop").satisfies(Workers=0, Threads=0, Allocations=0, ProxyActiveCalls=0, EventsDropped=0)
