"""The memory of a guest in a file, by QEMU: for a debugger, when the guest has panicked or hangs."""

from __future__ import annotations

import shutil
from pathlib import Path

from hotswap.deadline import Deadline
from hotswap.errors import LabFault
from hotswap.machine.lease import new_id
from hotswap.machine.qmp import Qmp
from hotswap.machine.storage import require_space

# kdump-zlib is compressed, and crash(8) and drgn read it; elf is as large as the guest. Windows' own format is offered
# of every guest, and fails of one that has not told QEMU where its dump header is (by the vmcoreinfo device).
_FORMATS = (("kdump-zlib", "memory.kdump"), ("elf", "memory.elf"))
_WINDOWS = ("win-dmp", "memory.dmp")
_SPARE_MIB = 512
MOST_MIB = 8192
"""Of a guest with more memory none is taken."""


def memory_formats(qmp: Qmp, deadline: Deadline, *, windows: bool) -> list[tuple[str, str]]:
    """QEMU's names of the formats to try, the best first, each with the name of its file."""
    offered = qmp.execute("query-dump-guest-memory-capability", deadline=deadline)["formats"]
    return [one for one in ((_WINDOWS, *_FORMATS) if windows else _FORMATS) if one[0] in offered]


def dump_memory(qmp: Qmp, machine: Path, memory_mib: int, format: str, target: Path, deadline: Deadline) -> None:
    """Write the guest's memory; it stands still meanwhile. `machine` is QEMU's folder.

    LabFault when there is too much of it, too little space, or QEMU cannot; DeadlineExpired: QEMU then goes on with it
    until its end, in its own folder.
    """
    if memory_mib > MOST_MIB:
        raise LabFault(f"the guest has {memory_mib} MiB of memory; of more than {MOST_MIB} MiB no dump is taken")
    for place in {machine, target.parent}:
        require_space(place, memory_mib + _SPARE_MIB, "a dump of the guest's memory")
    partial = machine / f"memory-{new_id()}"
    arguments = {"paging": False, "protocol": f"file:{partial.name}", "detach": True, "format": format}
    since = len(qmp.events)
    try:
        # Detached, so that QEMU can be asked meanwhile, and its end is noticed.
        qmp.execute("dump-guest-memory", arguments, deadline=deadline)
        done = qmp.wait_event("DUMP_COMPLETED", since=since, deadline=deadline)
        if error := done.data.get("error"):
            raise LabFault(f"QEMU's dump of the guest's memory failed: {error}")
        shutil.move(partial, target)
    finally:
        partial.unlink(missing_ok=True)
