"""Where guests run: one file per kind of machine, and the contract they all meet."""
