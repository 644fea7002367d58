"""`each(...).agrees_with(...)`: two events of one key say the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hotswap.trace.rules.answer import Proof
from hotswap.trace.rules.condition import compare
from hotswap.trace.rules.key import Key
from hotswap.trace.rules.matched import View
from hotswap.trace.rules.order import Ints, Mask
from hotswap.trace.rules.partner import Partners, find_partners
from hotswap.trace.rules.pattern import Pattern
from hotswap.trace.rules.rule import Judgement, Rule, at_text, named


@dataclass(frozen=True, eq=False)
class AgreesWith(Rule):
    """Fields of each subject equal those of the event of its key before it, or else after it."""

    subject: Pattern
    other: Pattern
    key: Key
    fields: tuple[tuple[str, str], ...]

    def sentence(self) -> str:
        """The statement in words."""
        names = [name if name == theirs else f"{name} with its {theirs}" for name, theirs in self.fields]
        return f"each {self.subject} agrees with the {self.other}{self.key.of_same()} in {' and '.join(names)}"

    def judge(self, view: View) -> Judgement:
        """One instance a subject that has such another event."""
        asked = [name for name, _ in self.fields], [theirs for _, theirs in self.fields]
        before = self._partners(view, asked, before=True)
        alone = before.partner < 0
        partner = before.partner
        if alone.any():
            after = self._partners(view, asked, before=False)
            partner = np.where(alone, after.partner, partner)
        chosen = np.flatnonzero(partner >= 0)
        subject, partner = before.subject[chosen], partner[chosen]
        differs = self._differing(before, subject, partner)
        failed = np.zeros(len(chosen), np.bool_)
        for mask in differs:
            failed |= mask
        ours, theirs = before.subjects.tick[subject], before.targets.tick[partner]
        low, high = np.minimum(ours, theirs), np.maximum(ours, theirs)
        nothing = (
            f"no {self.subject} has a {self.other}{self.key.of_same()}"
            if len(before)
            else f"the trace has no {self.subject}"
        )
        return Judgement(
            failed, low, high, before.subjects.rows[subject],
            lambda i: self._proof(view, before, int(subject[i]), int(partner[i])),
            lambda: f"{len(chosen):,} {self.subject} agree",
            (before.subjects, before.targets, *before.windows.looked_at), nothing,
        )  # fmt: skip

    def _partners(self, view: View, asked: tuple[list[str], list[str]], *, before: bool) -> Partners:
        return find_partners(
            view, self.subject, self.other, self.key, self.scope, before=before, own=False, fields=asked
        )

    def _differing(self, found: Partners, subject: Ints, partner: Ints) -> list[Mask]:
        return [
            compare(found.subjects[name][subject], "!=", found.targets[theirs][partner])
            if len(subject)
            else np.zeros(0, np.bool_)
            for name, theirs in self.fields
        ]

    def _proof(self, view: View, found: Partners, subject: int, partner: int) -> Proof:
        row, other = int(found.subjects.rows[subject]), int(found.targets.rows[partner])
        one = np.array([subject]), np.array([partner])
        differs = [bool(mask[0]) for mask in self._differing(found, *one)]
        parts = []
        for (name, theirs), wrong in zip(self.fields, differs, strict=True):
            if wrong:
                says, said = found.subjects.text(name, subject), found.targets.text(theirs, partner)
                called = "" if name == theirs else f" {theirs}"
                parts.append(f"{name} {says} where the {named(self.other, view, other)} has{called} {said}")
        of = f" of {self.key.text(found.subjects, subject)}" if self.key else ""
        who = f"{named(self.subject, view, row)}{of} {at_text(view, row)}"
        return Proof(f"{who} has {' and '.join(parts)}", (other, row), (row,))
