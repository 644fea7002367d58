"""The command `hotswap`."""

from hotswap.cli.main import main

__all__ = ["main"]
