"""The error families: who misbehaved decides what may be done about it."""

from __future__ import annotations


class HotswapError(Exception):
    """Base of all errors that end a command in one clear line instead of a traceback."""


class UsageError(HotswapError):
    """Bad input: the caller asked for something that cannot be (exit code 2)."""


class GuestFault(HotswapError):
    """The thing under test misbehaved: a test result, never retried."""


class LabFault(HotswapError):
    """Our lab misbehaved: may be retried, is never a driver's failure (exit code 4)."""


class DeadlineExpired(LabFault):
    """A wait ran out of time; the message names the condition and what was seen last."""
