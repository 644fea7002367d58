"""Hostile callers: IOCTLs made from the C header's contract, run by scripts inside the guest, and judged."""
