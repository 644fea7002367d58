"""Which expectations catch which broken update. A good update is caught by none."""

from __future__ import annotations

from collections.abc import Mapping

CAUGHT_BY: Mapping[str, tuple[str, ...]] = {
    "never-returns": ("drained-in-time",),
    "slow-drain": ("hold-time-in-budget",),
    "slow-callback": ("hold-time-in-budget",),
    "lose-wakeup": ("signals-accounted",),
    "self-signal": ("signals-accounted", "wait-status-names-signalled-event"),
    "twice": ("work-once-per-iteration",),
    "skips-work": ("work-once-per-iteration",),
    "wrong-status": ("work-names-wait-status",),
    "wrong-version": ("work-names-version", "no-old-version-after-switch"),
    "ends-worker": ("workers-run-until-stopped",),
    "corrupt-context": ("no-iteration-cut-short", "counters-agree"),
    "leak-entry": ("endpoint-frees-pool",),
    "leak-pool": ("endpoint-frees-pool",),
    "leak-thread": ("endpoint-ends-threads", "threads-gone"),
    "leak-event": ("endpoint-closes-handles",),
    "leak-reference": ("endpoint-drops-references",),
    "crash": ("driver-host-alive", "operations-succeed"),
    "host-old-call": ("no-old-version-after-switch",),
    "host-keep-image": ("endpoint-unloaded", "old-image-gone", "services-stopped"),
    "host-keep-link": ("device-gone",),
    "host-keep-extension": ("counters-zero-at-unload",),
}
"""Each of these alone fails a run with that update, and without all of them nothing does."""

REFUSED: Mapping[str, str] = {
    "wrong-parameters": "STATUS_INVALID_PARAMETER_3",
    "refuse-pre-process": "STATUS_DEVICE_NOT_READY",
    "refuse-proxy-stalled": "STATUS_DEVICE_NOT_READY",
    "refuse-post-process": "STATUS_DEVICE_NOT_READY",
}
"""Updates that are refused with this status. The old version stays in force, and that is a pass."""
