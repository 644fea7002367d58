"""Rules joined: both hold, one of them holds, one does not hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NoReturn

from hotswap.errors import UsageError
from hotswap.trace.expect import Verdict
from hotswap.trace.rules.answer import Answer
from hotswap.trace.rules.matched import View
from hotswap.trace.rules.rule import Judgement, Rule
from hotswap.trace.rules.scope import Scope

_TURNED = {Verdict.PASS: Verdict.FAIL, Verdict.FAIL: Verdict.PASS, Verdict.INCONCLUSIVE: Verdict.INCONCLUSIVE}


def all_of(*rules: Rule) -> Combined:
    """All of these rules hold; of several that do not, the first is told."""
    if not rules:
        raise UsageError("all_of needs rules")
    return Combined("and", rules)


@dataclass(frozen=True, eq=False)
class Combined(Rule):
    """`one & other`, `one | other`, `~one`. What is open of a part leaves the whole open only where it decides."""

    how: Literal["and", "or", "not"]
    parts: tuple[Rule, ...]

    def sentence(self) -> str:
        """The statement in words."""
        texts = [part.statement.rstrip(".") for part in self.parts]
        texts = [f"{text[:1].lower()}{text[1:]}" for text in texts]
        return f"it does not hold that {texts[0]}" if self.how == "not" else f" {self.how} ".join(texts)

    def judge(self, view: View) -> Judgement:
        """Never asked: the parts are."""
        raise AssertionError("a combined rule answers by its parts")

    def _held(self, scope: Scope) -> NoReturn:
        raise UsageError("say of each part in which windows it must hold, then join the parts")

    def answer(self, view: View) -> Answer:
        """By the answers of the parts."""
        answers = [part.answer(view) for part in self.parts]
        if self.how == "not":
            verdict, deciding = _TURNED[answers[0].verdict], answers[:1]
        else:
            # The verdict that settles it, then what leaves it open, then the other one.
            settles = Verdict.FAIL if self.how == "and" else Verdict.PASS
            verdict = next(
                one
                for one in (settles, Verdict.INCONCLUSIVE, _TURNED[settles])
                if any(a.verdict is one for a in answers)
            )
            deciding = [answer for answer in answers if answer.verdict is verdict]
        # Of several that fail, or are open, the first is told: what others rest on is stated first.
        first = deciding[:1] if self.how == "and" and verdict is not Verdict.PASS else deciding
        message = "; ".join(answer.message for answer in first)
        if self.how == "not" and verdict is Verdict.FAIL:
            message = f"it holds: {message}"
        proof = next((answer.proof for answer in deciding if answer.proof is not None), None)
        counts = [sum(getattr(answer, name) for answer in answers) for name in ("checked", "failed", "open")]
        return Answer(self.id, self.statement, verdict, message, view.table, proof, *counts)
