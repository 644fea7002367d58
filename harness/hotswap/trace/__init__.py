"""Traces: reading and writing `.etl`, the event table, verdicts."""
