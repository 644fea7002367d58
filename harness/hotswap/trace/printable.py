"""Texts of a trace on a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """A text of a file that cannot break a line or steer a terminal."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
