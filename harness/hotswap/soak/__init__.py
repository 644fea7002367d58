"""Soaks: long runs that must neither fail nor grow. Run by `ci/soak NAME [--json [FILE]]`."""
