"""What the agent itself says when something went wrong: the only witness inside a guest that has no other port."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from hotswap.deadline import Deadline
from hotswap.errors import HotswapError
from hotswap.machine.evidence import Evidence
from hotswap.transport.agent import Agent


def ask_agent(agent: Agent, services: Sequence[str], folder: Path, deadline: Deadline) -> list[Path]:
    """Write `agent.json` into a folder of evidence: who it is, its clocks, loaded modules, services. Never raises.

    What it does not answer stands there as an `error`; all of it within the deadline.
    """
    evidence = Evidence(folder, deadline)
    with evidence.step("agent.json", "the agent") as path:
        content: dict[str, object] = {}
        asked: dict[str, Callable[[], object]] = {
            "hello": lambda: asdict(agent.hello(deadline=evidence.limit(deadline.remaining))),
            "clock": lambda: asdict(agent.clock(deadline=evidence.limit(deadline.remaining))),
            "modules": lambda: [asdict(each) for each in agent.modules(deadline=evidence.limit(deadline.remaining))],
            **{
                f"service {name}": lambda name=name: asdict(  # type: ignore[misc]
                    agent.service_query(name, deadline=evidence.limit(deadline.remaining))
                )
                for name in services
            },
        }
        for what, ask in asked.items():
            try:
                content[what] = ask()
            except HotswapError as error:
                content[what] = {"error": str(error)}
        path.write_text(json.dumps(content, indent=1, default=str) + "\n")
    return evidence.finish()
