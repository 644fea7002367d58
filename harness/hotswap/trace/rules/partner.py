"""Finding for each event the one that answers it: the nearest of the same key, or one of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hotswap.trace.pairs import match_queued
from hotswap.trace.rules.condition import Values
from hotswap.trace.rules.key import Key, codes_of
from hotswap.trace.rules.matched import Matched, View
from hotswap.trace.rules.order import Ints, Lanes, Mask
from hotswap.trace.rules.pattern import Pattern
from hotswap.trace.rules.refer import equal_fields, referred_fields, resolver
from hotswap.trace.rules.scope import Scope, Windows, held_fields, members_of, windows_of

_MOST_STEPS = 64


@dataclass(frozen=True)
class Partners:
    """Subjects in the order of their lanes, and for each the event found. Arrays of one length.

    `subject` and `partner` are indices of the matched events; a partner of -1: there is none.
    """

    subjects: Matched
    targets: Matched
    subject: Ints
    partner: Ints
    window: Ints
    windows: Windows
    of_another: Ints
    """Where there is no partner of its own: an event that would do and belongs to another subject; else -1."""

    def __len__(self) -> int:
        return len(self.subject)

    @property
    def subject_row(self) -> Ints:
        """Rows of the subjects."""
        return self.subjects.rows[self.subject]

    @property
    def partner_row(self) -> Ints:
        """Rows of the partners; -1 where there is none."""
        return _or_none(self.targets.rows, self.partner)

    @property
    def subject_tick(self) -> Ints:
        """Raw ticks of the subjects."""
        return self.subjects.tick[self.subject]

    @property
    def partner_tick(self) -> Ints:
        """Raw ticks of the partners; those of the subjects where there is none."""
        found = _or_none(self.targets.tick, self.partner)
        return np.where(self.partner >= 0, found, self.subject_tick)


def _or_none(values: Ints, at: Ints) -> Ints:
    return np.where(at >= 0, values[at], -1) if len(values) else np.full(len(at), -1)


def find_partners(
    view: View,
    subject: Pattern,
    target: Pattern,
    key: Key,
    scope: Scope | None,
    *,
    before: bool,
    own: bool,
    fields: tuple[Sequence[str], Sequence[str]] = ((), ()),
) -> Partners:
    """For each subject the next target of its key (`before`: the last one before it), in the same window.

    `own`: no target answers two subjects; the first comes first. `fields`: what else will be asked of both.
    """  # fmt: skip
    equal, others = equal_fields(target)
    asked = [*key.fields, *referred_fields(target), *held_fields(scope), *fields[0]]
    subjects = view.match(subject, asked)
    targets = view.match(target, [*key.fields, *(name for name, _ in equal), *held_fields(scope), *fields[1]])
    windows = windows_of(view, scope)
    chosen = members_of(view, scope, windows, subjects).surely()
    among = members_of(view, scope, windows, targets)
    parts: list[Sequence[Values]] = [
        *([subjects[name][chosen.event], targets[name][among.event]] for name in key.fields),
        *([subjects[theirs][chosen.event], targets[name][among.event]] for name, theirs in equal),
    ]
    if scope is not None:
        parts.append([chosen.window, among.window])
    codes = codes_of(parts, [len(chosen.event), len(among.event)], len(view.table) + 1)
    ours = Lanes(codes[0], subjects.rows[chosen.event], view.order)
    theirs_lanes = Lanes(codes[1], targets.rows[among.event], view.order)
    if own:
        at, spare = _one_to_one(view, ours, theirs_lanes, before=before)
    else:
        find = theirs_lanes.last_before if before else theirs_lanes.first_after
        at, spare = find(ours.key, ours.row), np.full(len(ours), -1)
    picked = chosen.event[ours.events]
    event_of = _Positions(theirs_lanes, among.event)
    if others:
        at = _that_fit(view, picked, subjects, targets, ours, theirs_lanes, event_of, at, before=before)
    window = chosen.window[ours.events]
    return Partners(subjects, targets, picked, event_of(at), window, windows, event_of(spare))


@dataclass(frozen=True)
class _Positions:
    """From positions in lanes to indices of the matched events; -1 stays."""

    lanes: Lanes
    event: Ints

    def __call__(self, at: Ints) -> Ints:
        if not len(self.lanes):
            return np.full(len(at), -1)
        return np.where(at >= 0, self.event[self.lanes.events[at]], -1)


def _that_fit(
    view: View,
    picked: Ints,
    subjects: Matched,
    targets: Matched,
    ours: Lanes,
    theirs: Lanes,
    event_of: _Positions,
    at: Ints,
    *,
    before: bool,
) -> Ints:
    """Go on from target to target until the conditions hold that compare it with its subject."""  # fmt: skip
    at, step = at.copy(), -1 if before else 1

    def fitting(subject: Ints, row: Ints, position: Ints) -> Mask:
        held = targets.holds(event_of(position), resolver(lambda field: subjects[field][subject]))
        there = theirs.row[position]
        # At equal ticks, what surely lies on the wrong side can be among those that may lie on the right one.
        wrong = view.order.before(row, there) if before else view.order.before(there, row)
        return np.asarray(held & ~wrong & (there != row), np.bool_)

    live, turns = np.flatnonzero(at >= 0), 0
    while len(live):
        live = live[~fitting(picked[live], ours.row[live], at[live])]
        if turns == _MOST_STEPS:
            break
        following = at[live] + step
        at[live] = np.where(theirs.has(following, ours.key[live]), following, -1)
        live, turns = live[at[live] >= 0], turns + 1
    for position in live.tolist():
        # Many steps were not enough: look at all that is left of the key at once.
        here = int(at[position])
        lane = int(np.searchsorted(theirs.starts, here, "right")) - 1
        ahead = np.arange(here, theirs.starts[lane] - 1, -1) if before else np.arange(here, theirs.ends[lane])
        subject, row = np.repeat(picked[position], len(ahead)), np.repeat(ours.row[position], len(ahead))
        fits = np.flatnonzero(fitting(subject, row, ahead))
        at[position] = int(ahead[fits[0]]) if len(fits) else -1
    return at


def _one_to_one(view: View, ours: Lanes, theirs: Lanes, *, before: bool) -> tuple[Ints, Ints]:
    """Of each key, the first subject gets the first target after it, the next one the next; and so on.

    Where a tick has events of several CPUs, those that wait count as first. Returns positions in `theirs`, and for a
    subject that gets none the nearest target, which is another's.
    """
    first, second = (theirs, ours) if before else (ours, theirs)
    count = len(first) + len(second)
    key = np.concatenate([first.key, second.key])
    row = np.concatenate([first.row, second.row])
    waits = np.append(np.ones(len(first), np.int64), np.zeros(len(second), np.int64))
    place = np.lexsort((waits, row, key))
    if view.order.tied and count:
        order = view.order
        several = order.tick_end[row] - order.tick_start[row] > order.cell_end[row] - order.cell_start[row]
        place = np.lexsort((waits, row, np.where(several, 1 - waits, 0), order.tick[row], key))
    # Who waits begins what the other ends.
    pair = match_queued(key[place], waits[place] == 1)
    partner = np.full(count, -1)
    partner[place] = np.where(pair >= 0, place[pair], -1)
    mine = partner[len(first) :] if before else partner[: len(first)]
    at = mine if before else np.where(mine >= 0, mine - len(first), -1)
    nearest = (theirs.last_before if before else theirs.first_after)(ours.key, ours.row)
    return at, np.where(at < 0, nearest, -1)
