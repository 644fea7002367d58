"""A statement of one's own: a function that looks at the trace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hotswap.errors import UsageError
from hotswap.trace.rules.answer import Proof
from hotswap.trace.rules.condition import function_name
from hotswap.trace.rules.matched import View
from hotswap.trace.rules.order import BEGINNING, END_OF_TIME
from hotswap.trace.rules.rule import Judgement, Rule, never_missing

Finding = str | Proof | None


@dataclass(frozen=True, eq=False)
class Custom(Rule):
    """What a function finds: None when the statement holds, else why not."""

    function: Callable[[View], Finding]
    text: str

    def sentence(self) -> str:
        """The statement in words."""
        return self.text

    def judge(self, view: View) -> Judgement:
        """One instance; it depends on all of the trace."""
        if self.scope is not None:
            raise UsageError(f"{function_name(self.function)}: a function looks at the whole trace, not at windows")
        found = self.function(view)
        if not (found is None or isinstance(found, (str, Proof))):
            raise UsageError(f"{function_name(self.function)} answered {found!r}, not None, a text or a Proof")
        proof = Proof(found) if isinstance(found, str) else found
        failed = np.array([proof is not None])
        low, high = np.array([BEGINNING]), np.array([END_OF_TIME])
        if proof is not None and proof.rows:
            # Events that are there prove it.
            low, high = never_missing(1)
        return Judgement(
            failed, low, high, np.zeros(1, np.int64), lambda _: proof or Proof(""), lambda: "it holds", (), "",
        )  # fmt: skip


def statement(text: str) -> Callable[[Callable[[View], Finding]], Custom]:
    """Make a rule of a function: it gets the trace (`view.table`, `view.match`) and returns None, or why it fails.

    A failure that names events (`Proof`) is taken as proved by them; one without could be due to what is missing.
    """

    def make(function: Callable[[View], Finding]) -> Custom:
        return Custom(function, text[:1].lower() + text[1:].rstrip("."))

    return make
