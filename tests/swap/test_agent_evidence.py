"""The agent's own words are evidence as long as it answers, and cost no time when it does not."""

from __future__ import annotations

import json
from pathlib import Path

from hotswap.deadline import Deadline
from hotswap.machine.evidence import read_manifest
from hotswap.swap.agent_evidence import ask_agent
from hotswap.swap.lab import Lab


def test_the_agent_tells_of_itself_modules_and_services(lab: Lab, tmp_path: Path) -> None:
    files = ask_agent(lab.agent, ["hotswap", "no-such-service"], tmp_path, Deadline.after(20))
    assert [path.name for path in files] == ["agent.json", "evidence.json"]
    told = json.loads(files[0].read_text())
    assert told["hello"]["pid"] > 0
    assert told["clock"]["tick_frequency"] > 0
    assert any(module["name"] == "hotswap.sys" for module in told["modules"])
    assert "status" in told["service hotswap"]
    assert "1060" in told["service no-such-service"]["error"]
    manifest = read_manifest(tmp_path)
    assert manifest is not None
    assert [piece["problem"] for piece in manifest["pieces"]] == [None]


def test_an_agent_that_is_gone_is_told_in_time(lab: Lab, tmp_path: Path) -> None:
    agent = lab.agent
    lab.close()
    agent.connection.close()
    deadline = Deadline.after(10)
    files = ask_agent(agent, ["hotswap"], tmp_path, deadline)
    assert deadline.remaining > 5
    assert "closed the stream" in json.loads(files[0].read_text())["hello"]["error"]
