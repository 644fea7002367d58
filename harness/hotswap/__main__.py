"""`python -m hotswap`."""

from hotswap.cli import main

main()
