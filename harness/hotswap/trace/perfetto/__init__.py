"""Traces as Perfetto's protobuf, for ui.perfetto.dev and trace_processor (reference: etl.md, section 8)."""
