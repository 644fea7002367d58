"""Drivers: building, signing, preflight, deployment, and typed IOCTL calls."""
