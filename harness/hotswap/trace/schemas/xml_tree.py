"""XML with line numbers, without anything that expands or fetches: a trace may bring its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

from hotswap.trace.schema import MetadataError


class XmlError(MetadataError):
    """Something wrong in an XML text, and where: `line` counts from 1."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


@dataclass(slots=True)
class Node:
    """An element. Names are without prefix and namespace."""

    tag: str
    line: int
    attributes: dict[str, str]
    children: list[Node] = field(default_factory=list)

    def all(self, tag: str) -> Iterator[Node]:
        """The children of this name."""
        return (child for child in self.children if child.tag == tag)

    def below(self, *path: str) -> Iterator[Node]:
        """All that lie below children of these names, one in another."""
        if not path:
            yield self
            return
        for child in self.all(path[0]):
            yield from child.below(*path[1:])

    def get(self, name: str, default: str = "") -> str:
        """An attribute without blanks around it."""
        return self.attributes.get(name, default).strip()

    def need(self, name: str) -> str:
        """An attribute that must be there. Raises XmlError."""
        value = self.get(name)
        if not value:
            raise XmlError(f"<{self.tag}> has no {name}", self.line)
        return value

    def number(self, name: str, default: int | None = None) -> int:
        """An attribute that is a number, decimal or 0x.... Raises XmlError."""
        text = self.need(name) if default is None else self.get(name)
        if not text and default is not None:
            return default
        try:
            return int(text, 16 if text.lower().startswith("0x") else 10)
        except ValueError:
            raise XmlError(f"<{self.tag}> has {name}={text!r}, which is no number", self.line) from None


def parse_xml(data: bytes) -> Node:
    """The root element. Raises XmlError; also for entities of its own, which could grow without end."""
    parser = expat.ParserCreate()
    root = Node("", 0, {})
    open_nodes = [root]

    def start(name: str, attributes: dict[str, str]) -> None:
        if len(open_nodes) > _DEEPEST:
            raise XmlError("elements are nested too deep", parser.CurrentLineNumber)
        bare = {key.rpartition(":")[2]: value for key, value in attributes.items()}
        node = Node(name.rpartition(":")[2], parser.CurrentLineNumber, bare)
        open_nodes[-1].children.append(node)
        open_nodes.append(node)

    def end(_: str) -> None:
        open_nodes.pop()

    def entity(*_: object) -> None:
        raise XmlError("it declares entities, which a manifest has no use for", parser.CurrentLineNumber)

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.EntityDeclHandler = entity
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise XmlError(f"not well-formed XML: {expat.ErrorString(error.code)}", error.lineno) from None
    except (ValueError, LookupError) as error:
        if isinstance(error, XmlError):
            raise
        raise XmlError(f"not well-formed XML: {error}", parser.CurrentLineNumber) from None
    return root.children[0]


_DEEPEST = 64
