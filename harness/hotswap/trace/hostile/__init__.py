"""Hostile traces: files damaged by seed for the whole reader, and a fuzzer for its native kernel."""
