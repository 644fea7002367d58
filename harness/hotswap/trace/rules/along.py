"""Events by key in time order, as the rules need them that look along each key."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hotswap.trace.rules.key import Key, codes_of
from hotswap.trace.rules.matched import Matched, View
from hotswap.trace.rules.order import Ints, Lanes, Mask
from hotswap.trace.rules.pattern import Pattern
from hotswap.trace.rules.scope import Scope, Windows, held_fields, members_of, windows_of


@dataclass(frozen=True)
class Along:
    """The events of a pattern by window and key, then by row. Arrays of one length, but for `windows`.

    `event` are indices in `matched`, `fresh` says where a window or key begins, `group` counts these from 0.
    """

    matched: Matched
    windows: Windows
    event: Ints
    window: Ints
    fresh: Mask
    group: Ints

    def __len__(self) -> int:
        return len(self.event)

    @property
    def row(self) -> Ints:
        """Row numbers."""
        return self.matched.rows[self.event]

    @property
    def tick(self) -> Ints:
        """Raw ticks."""
        return self.matched.tick[self.event]

    @property
    def starts(self) -> Ints:
        """Where groups begin."""
        return np.flatnonzero(self.fresh)

    @property
    def ends(self) -> Ints:
        """Behind the last event of each group."""
        return np.append(self.starts[1:], len(self)).astype(np.int64) if len(self) else np.zeros(0, np.int64)

    @property
    def looked_at(self) -> tuple[Matched, ...]:
        """All events that were looked at."""
        return (self.matched, *self.windows.looked_at)

    def cpu(self, key: Key) -> Ints | None:
        """The CPU of each event, where keys are of one CPU."""
        return self.matched["cpu"][self.event].astype(np.int64) if key.cpu else None


def along(view: View, pattern: Pattern, key: Key, scope: Scope | None, fields: tuple[str, ...] = ()) -> Along:
    """The events that surely lie in the windows, by key."""
    matched, windows = view.match(pattern, [*key.fields, *fields, *held_fields(scope)]), windows_of(view, scope)
    members = members_of(view, scope, windows, matched).surely()
    parts = [[matched[name][members.event]] for name in key.fields]
    if scope is not None:
        parts.append([members.window])
    codes = codes_of(parts, [len(members.event)], len(view.table) + 1)[0]
    lanes = Lanes(codes, matched.rows[members.event], view.order)
    fresh = lanes.first_of_key
    group = np.cumsum(fresh) - 1
    return Along(matched, windows, members.event[lanes.events], members.window[lanes.events], fresh, group)


def running_max(values: Ints, fresh: Mask) -> Ints:
    """The largest value so far in each group; the values are small ranks, not below 0."""
    if not len(values):
        return values
    group = np.cumsum(fresh) - 1
    wide = int(values.max()) + 1
    highest: Ints = np.maximum.accumulate(values + group * wide)
    return highest - group * wide
