"""What a run was made of, as names and texts: whatever the environment of a result holds, known or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hotswap.swap.result import SwapResult

_TITLES = {
    "machine": "Machine",
    "runtime": "Runtime asked for",
    "runtime_in_use": "Runtime in use",
    "guest": "Guest",
    "host": "Host",
    "harness": "Harness",
    "build": "Build",
    "drivers": "Drivers (SHA-256)",
    "plan": "Plan",
}
_ELSEWHERE = {"command"}


@dataclass(frozen=True, slots=True)
class Fact:
    """A name with one text, or with several named ones (`parts`)."""

    title: str
    text: str
    parts: tuple[tuple[str, str], ...] = ()
    code: bool = False
    """Shown in the fixed-width face."""


def environment_facts(result: SwapResult) -> list[Fact]:
    """The environment in the order of the report; what is not known here comes last, under its own name."""
    environment = {name: value for name, value in result.environment.items() if name not in _ELSEWHERE}
    order = [*(name for name in _TITLES if name in environment), *(n for n in environment if n not in _TITLES)]
    facts = [_fact(name, environment[name]) for name in order]
    return [*facts, Fact("Run folder", str(result.run_folder), code=True)]


def _fact(name: str, value: Any) -> Fact:
    title = _TITLES.get(name, name.replace("_", " ").capitalize())
    code = name in ("build", "drivers")
    if name == "guest" and isinstance(value, Mapping):
        return Fact(title, _guest(value))
    if isinstance(value, Mapping):
        # Names of files stay as they are.
        named = [(str(key) if code else str(key).replace("_", " "), _text(item)) for key, item in value.items()]
        return Fact(title, "", tuple(named), code)
    return Fact(title, _text(value), code=code)


def _guest(value: Mapping[str, Any]) -> str:
    version = ".".join(str(part) for part in value.get("os") or ())
    wine = value.get("wine")
    return ", ".join(part for part in (f"Windows {version}" if version else "", f"Wine {wine}" if wine else "") if part)


def _text(value: Any) -> str:
    if value is None or value == "":
        return "not known"
    if isinstance(value, list | tuple):
        return " → ".join(str(item) for item in value)
    return str(value)
