"""Clauses of a kernel that exports the family and implements none of it, as retail Windows (reference, 1 and 7)."""

from __future__ import annotations

from hotswap.conformance.clauses import Clause

NATIVE: tuple[Clause, ...] = ()
