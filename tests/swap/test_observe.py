"""What is noted of a driver host while a test runs."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any, cast

from hotswap.machine.proc import ProcessId
from hotswap.swap.lab import Lab
from hotswap.swap.observe import Observations
from hotswap.swap.outside import DriverHostWatch


def test_a_driver_host_that_ends_a_little_after_the_guest_answered_for_it_is_no_living_one() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as dying:
        watch = DriverHostWatch(cast(ProcessId, SimpleNamespace(pid=dying.pid)))
        lab = cast(Lab, cast(Any, SimpleNamespace(host=watch, host_ends_within=watch.ended_within, crash=lambda: None)))
        seen = Observations()
        seen.note_host(lab)
        assert seen.host_alive
        assert dying.stdin is not None
        dying.stdin.close()  # its end comes some milliseconds from now
        seen.note_host(lab, seconds=30.0)
        assert seen.host_alive is False
        assert str(dying.pid) in seen.host_end
        watch.close()
