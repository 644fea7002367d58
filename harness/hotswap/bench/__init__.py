"""Benchmarks: ours beside the alternative, in one run, as a ratio of medians. Run by `ci/bench NAME [--json FILE]`."""
