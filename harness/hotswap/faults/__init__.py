"""Faults made on purpose, in machines under test: to see what the harness makes of them."""
