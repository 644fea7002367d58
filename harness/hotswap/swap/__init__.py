"""The swap test: witnesses, expectations, orchestration."""
