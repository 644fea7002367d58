"""`python -m hotswap.wsman`: an endpoint as a process of its own. What it shall be comes as one line of JSON.

It says its port on standard output and ends when its standard input does, so that it never outlives who started it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from hotswap.transport.ssh import SshTarget
from hotswap.wsman.authentication import Account
from hotswap.wsman.endpoint import WsmanEndpoint
from hotswap.wsman.runner import Runner, WineRunner
from hotswap.wsman.ssh_runner import SshRunner


def _runner(wanted: dict[str, Any]) -> Runner:
    if wanted["kind"] == "ssh":
        return SshRunner(SshTarget(**{**wanted["target"], "key": Path(wanted["target"]["key"])}))
    return WineRunner(wanted["loader"], wanted["environment"], Path(wanted["folder"]))


if __name__ == "__main__":
    wanted = json.loads(sys.stdin.readline())
    account = Account(wanted["user"], wanted["password"])
    with WsmanEndpoint(
        _runner(wanted["runner"]), account, Path(wanted["certificate"]), Path(wanted["key"])
    ) as endpoint:
        print(endpoint.port, flush=True)
        sys.stdin.read()
