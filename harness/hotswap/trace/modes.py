"""Bits of LogFileMode (etl.md, section 2.5) that decide what a file is like."""

MODE_SEQUENTIAL = 0x1
MODE_CIRCULAR = 0x2
MODE_APPEND = 0x4
MODE_NEW_FILE = 0x8
MODE_PREALLOCATE = 0x20
MODE_KB_SIZES = 0x2000
"""MaximumFileSize is in KB instead of MB."""
MODE_RELOG = 0x10000
MODE_COMPRESSED = 0x04000000
MODE_NO_PER_PROCESSOR = 0x10000000
