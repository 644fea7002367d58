"""What a soak came to, as JSON and as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hotswap.cli.output import Terminal
from hotswap.cli.progress import duration
from hotswap.soak.trend import Trend

SCHEMA = 1


@dataclass(slots=True)
class SoakResult:
    """`problems` are one line each: a verdict that was not pass, a swap that did not happen. `lines` are for people."""

    name: str
    problems: list[str] = field(default_factory=list)
    trends: list[Trend] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def growth(self) -> Sequence[Trend]:
        """The figures that grow."""
        return [trend for trend in self.trends if trend.grows]

    @property
    def passed(self) -> bool:
        """Nothing went wrong and nothing grows."""
        return not self.problems and not self.growth

    @property
    def reason(self) -> str:
        """In one sentence."""
        if self.problems:
            more = f" (and {len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
            return f"{self.problems[0]}{more}"
        if self.growth:
            return f"growth of {', '.join(f'{t.what} by {t.slope:g} {t.unit} a step' for t in self.growth)}"
        return f"no problem, and none of {len(self.trends)} figures grows"

    def to_json(self) -> Mapping[str, Any]:
        """The contract of `ci/soak --json`."""
        return {
            "schema": SCHEMA,
            "soak": self.name,
            "verdict": "pass" if self.passed else "fail",
            "reason": self.reason,
            "problems": self.problems,
            "trends": [trend.to_json() for trend in self.trends],
            "seconds": round(self.seconds, 1),
            **self.figures,
        }


def to_json(results: Sequence[SoakResult]) -> Mapping[str, Any]:
    """The contract of `ci/soak --json`: of one soak its own, of several the verdict of all and each one's own."""
    if len(results) == 1:
        return results[0].to_json()
    return {
        "schema": SCHEMA,
        "soak": " ".join(result.name for result in results),
        "verdict": "pass" if all(result.passed for result in results) else "fail",
        "reason": "; ".join(f"{result.name}: {result.reason}" for result in results),
        "seconds": round(sum(result.seconds for result in results), 1),
        "soaks": [result.to_json() for result in results],
    }


def show(results: Sequence[SoakResult], console: Terminal) -> None:
    """Print them, and what they come to together."""
    for result in results:
        _show(result, console)
    if len(results) > 1:
        whole = to_json(results)
        style = "bold cyan" if whole["verdict"] == "pass" else "bold red"
        console.print(f"ci/soak {whole['soak']}: total time: {duration(whole['seconds'])}", markup=False)
        console.print(f"verdict of all: {whole['verdict']} ({whole['reason']})", style=style, markup=False)


def _show(result: SoakResult, console: Terminal) -> None:
    width = max((len(trend.what) for trend in result.trends), default=0)
    if result.trends:
        console.print(f"ci/soak {result.name}: growth a step, as Theil-Sen slope; it grows when low > bound")
        head = f"{'first':>12} {'last':>12} {'slope':>10} {'low':>10} {'bound':>7}"
        console.print(f"{'what':<{width}} {head}  grows    unit", style="bold", markup=False)
    for trend in result.trends:
        grows = "GROWS" if trend.grows else "no" if trend.judged else "too few"
        console.print(
            f"{trend.what:<{width}} {trend.first:>12,.0f} {trend.last:>12,.0f} {trend.slope:>10,.4g} "
            f"{trend.low:>10,.4g} {trend.bound:>7g}  {grows:<7}  {trend.unit}",
            style="bold red" if trend.grows else None,
            markup=False,
        )
    for line in result.lines:
        console.print(line, markup=False)
    for problem in result.problems:
        console.print(f"problem: {problem}", style="bold red", markup=False)
    verdict, style = ("pass", "bold cyan") if result.passed else ("fail", "bold red")
    console.print(f"total time: {duration(result.seconds)}", markup=False)
    console.print(f"verdict: {verdict} ({result.reason})", style=style, markup=False)
