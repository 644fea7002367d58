"""The DriverProxy contract, clause by clause: what it says, and checks that show it on a guest."""
