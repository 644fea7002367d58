"""Clauses of the endpoint table in the image, section `.shsept` (reference "driver-hot-swap", 3.7).

What the layout means, and how images are swapped, is inference: hotswap_endpoint_table.h and driverproxy_v2.h.
"""

from __future__ import annotations

from hotswap.conformance.clauses import Clause

SECTION: tuple[Clause, ...] = (
    Clause("S1", "H/I", "Every endpoint that the table lists has a wrapper of its own, which leads to its code."),
    Clause("S2", "D", "Under V2 no endpoint is found by id."),
    Clause("S3", "I", "Under V2 endpoints cannot be registered: the call fails and changes nothing."),
    Clause("S4", "D", "By pointer only the exact function of an endpoint finds a wrapper."),
    Clause("S5", "D/I", "A lookup by pointer finds endpoints of either source, registered or listed (4.9 i)."),
    Clause(
        "S6", "I", "A table that is not inside its image fails the creation, or the swap, and leaves nothing behind."
    ),
    Clause("S7", "I", "A swap of images matches endpoints by name, in whatever order; wrapper addresses stay."),
    Clause(
        "S8", "I", "An image that lacks an endpoint, or has it with another signature, is refused; nothing changes."
    ),
    Clause(
        "S9", "I", "An endpoint that only the new image has gets a wrapper when the swap has succeeded, not before."
    ),
    Clause("S10", "I", "A swap of images has the phases, the drain limit and the rollback of a registration."),
    Clause("S11", "I", "What cannot be swapped is refused by its own status."),
    Clause("S12", "D", "A worker thread runs a routine that the image lists, and stays through a swap of images."),
    Clause("S13", "D/I", "Out of memory: STATUS_INSUFFICIENT_RESOURCES, and nothing is left of creation or swap."),
)
