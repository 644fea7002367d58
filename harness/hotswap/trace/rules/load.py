"""Rules files: Python modules that define rules."""

from __future__ import annotations

import ast
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hotswap.errors import UsageError
from hotswap.paths import package_data
from hotswap.trace.rules.rule import Rule

_NAME = "hotswap_rules"


@dataclass(frozen=True)
class RulesFile:
    """The rules of a file in the order in which they are defined; each has an id."""

    path: Path
    rules: tuple[Rule, ...]
    lines: Mapping[str, int]
    """Where each rule is defined, by its id."""

    def chosen(self, ids: Iterable[str]) -> tuple[Rule, ...]:
        """Those with these ids (all, where none is named). UsageError for one that there is not."""
        wanted = list(ids)
        known = [rule.id for rule in self.rules]
        for id in wanted:
            if id not in known:
                raise UsageError(f"{self.path} has no rule {id!r}; it has: {', '.join(known)}")
        return tuple(rule for rule in self.rules if not wanted or rule.id in wanted)


def load_rules(path: Path | str) -> RulesFile:
    """Run a rules file and collect its rules.

    A name without an ending is that of a file that comes along: `swap`. A rule is what a name of the module stands for,
    its id that name with hyphens (or what `named` said); so are the rules in a list, tuple or mapping of the module.
    Names that begin with an underscore do not count. Raises UsageError, with the line, for a file that cannot be run or
    has no rule.
    """
    path = _ready(Path(path))
    try:
        source = path.read_bytes()
    except OSError as error:
        raise UsageError(f"reading the rules in {path}: {error.strerror or error}") from error
    try:
        tree = ast.parse(source, str(path))
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        raise UsageError(f"{path}:{line}: {getattr(error, 'msg', error)}") from None
    module: dict[str, object] = {"__name__": _NAME, "__file__": str(path), "__builtins__": __builtins__}
    try:
        exec(compile(tree, str(path), "exec"), module)
    except (Exception, SystemExit) as error:
        raise UsageError(f"{path}:{_line_of(error, path)}: {_said(error)}") from error
    lines = _definitions(tree)
    rules: dict[str, Rule] = {}
    where: dict[str, int] = {}
    seen: list[Rule] = []
    for name, id, rule in _rules_in(module):
        line = lines.get(name, 1)
        if any(rule is one for one in seen):
            # A second name for it, or it stands in a list, too.
            continue
        seen.append(rule)
        if id in rules:
            raise UsageError(f"{path}:{line}: there are two rules {id!r}")
        rules[id], where[id] = rule.named(id), line
    if not rules:
        raise UsageError(f"{path}:1: there is no rule in it; a rule is a name of the module, like: x = never('Error')")
    return RulesFile(path, tuple(rules.values()), where)


def _ready(path: Path) -> Path:
    """A file of rules that comes with the package, where there is no such path."""
    if path.suffix or path.exists() or path.name != str(path):
        return path
    folder = package_data("rules")
    known = sorted(one.stem for one in folder.glob("*.py"))
    if path.name not in known:
        raise UsageError(
            f"there is no file {path}, and no rules of that name come along; those that do: {', '.join(known)}"
        )
    return folder / f"{path.name}.py"


def _rules_in(module: Mapping[str, object]) -> Iterator[tuple[str, str, Rule]]:
    """The name of the module that leads to each rule, its id, and the rule."""
    for name, value in module.items():
        if name.startswith("_"):
            continue
        id = name.replace("_", "-")
        if isinstance(value, Rule):
            yield name, value.id or id, value
        elif isinstance(value, Mapping):
            for key, rule in value.items():
                if isinstance(rule, Rule):
                    yield name, rule.id or str(key), rule
        elif isinstance(value, (list, tuple)):
            for number, rule in enumerate(value, 1):
                if isinstance(rule, Rule):
                    yield name, rule.id or f"{id}-{number}", rule


def _definitions(tree: ast.Module) -> dict[str, int]:
    """The line of each name that is bound at the top."""
    lines: dict[str, int] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            lines[node.id] = node.lineno
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines[node.name] = node.lineno
    return lines


def _line_of(error: BaseException, path: Path) -> int:
    """The last line of the file that led to an error."""
    frames = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return next((line for line in reversed(frames) if line is not None), 1)


def _said(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return (
        text if isinstance(error, UsageError) else f"{type(error).__name__}: {text}" if text else type(error).__name__
    )
