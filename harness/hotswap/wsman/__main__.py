"""`python -m hotswap.wsman`: an endpoint as a process of its own. What it shall be comes as one line of JSON.

It says its port on standard output and ends when its standard input does, so that it never outlives who started it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from hotswap.wsman.authentication import Account
from hotswap.wsman.endpoint import WsmanEndpoint
from hotswap.wsman.runner import WineRunner

if __name__ == "__main__":
    wanted = json.loads(sys.stdin.readline())
    runner = WineRunner(wanted["loader"], wanted["environment"], Path(wanted["folder"]))
    account = Account(wanted["user"], wanted["password"])
    with WsmanEndpoint(runner, account, Path(wanted["certificate"]), Path(wanted["key"])) as endpoint:
        print(endpoint.port, flush=True)
        sys.stdin.read()
