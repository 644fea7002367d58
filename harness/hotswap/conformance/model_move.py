"""One small step of an actor, and what the steps of all kinds share."""

from __future__ import annotations

from typing import NamedTuple

from hotswap.conformance.model_world import World


class Unmodelled(Exception):
    """The step leads where this model says nothing: it never comes to rest, or races with a change of behaviour."""


class Moves(NamedTuple):
    """What may follow. `free`: see above."""

    worlds: tuple[World, ...] = ()
    free: bool = False


STUCK = Moves()
