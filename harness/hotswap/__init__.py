"""Integration test harness for Windows drivers with hot-swappable worker threads."""
