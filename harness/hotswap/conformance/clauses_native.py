"""Clauses of a kernel that has the family and implements none of it, as retail Windows, or has none of it.

Reference "driver-hot-swap", sections 1 and 7.
"""

from __future__ import annotations

from hotswap.conformance.clauses import Clause

NATIVE: tuple[Clause, ...] = (
    Clause("N1", "X", "The kernel's functions are used only where all are exported and Enabled is set."),
    Clause("N2", "X", "A kernel exports the whole family, the part of it that 24H2 has, or nothing of it."),
    Clause("N3", "X", "Without an implementation Enabled is 0, for the system and for each driver."),
    Clause("N4", "D/X", "Without an implementation Create answers NOT_SUPPORTED or DRIVER_BLOCKED, and stores NULL."),
    Clause("N5", "D/X", "Where the kernel's functions cannot be used a driver works on without them."),
)
