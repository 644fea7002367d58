"""Clauses of the endpoint table in the image, section `.shsept` (reference "driver-hot-swap", 3.7)."""

from __future__ import annotations

from hotswap.conformance.clauses import Clause

SECTION: tuple[Clause, ...] = ()
