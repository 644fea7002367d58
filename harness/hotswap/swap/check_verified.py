"""What endpoint drivers took through their imports and did not give back, as the host saw it by interposing them."""

from __future__ import annotations

from collections.abc import Callable

from hotswap.swap.finding import Finding, fails, holds, unknown
from hotswap.swap.swap_trace import SwapTrace
from hotswap.trace.expect import status_text


def _gives_back(what: str, *fields: str) -> Callable[[SwapTrace], Finding]:
    """A check that none of these kinds is left when an endpoint driver's image leaves."""

    def check(trace: SwapTrace) -> Finding:
        seen, unloaded = trace.events["EndpointVerified"], trace.events["EndpointUnloaded"]
        for i in range(len(seen)):
            left = sum(int(seen[field][i]) for field in fields)
            if left:
                size = f" ({int(seen['PoolBytes'][i])} bytes)" if fields == ("PoolBlocks",) else ""
                who = f"version {seen['Version'][i]}" if seen["Version"][i] else "a driver whose DriverEntry failed"
                text = f"{who} left {left} {what}{size} behind"
                return fails(text, [seen.row[i]])
        for i in range(len(seen)):
            # No imports is no gap: the driver imports nothing that it could take by.
            if seen["Status"][i]:
                status = status_text(int(seen["Status"][i]), wait=False)
                text = f"the imports of version {seen['Version'][i]} were not interposed: {status}"
                return unknown(text, [seen.row[i]])
        gone = sorted(unloaded["Version"][unloaded["Status"] == 0].tolist())
        # Version 0: it did not come to be loaded, so nobody unloaded it.
        verified = sorted(seen["Version"][seen["Version"] != 0].tolist())
        if gone != verified or not gone:
            return unknown(f"versions {verified} were verified, versions {gone} were unloaded")
        return holds(f"{len(seen)} endpoint drivers left nothing of it behind")

    return check


endpoint_frees_pool = _gives_back("pool allocations", "PoolBlocks")
endpoint_ends_threads = _gives_back("running threads", "Threads")
endpoint_closes_handles = _gives_back("handles", "Events", "Handles")
endpoint_drops_references = _gives_back("object references", "References")
