"""W1-W61: every check of them, a test each: `test_clause[W2-null-routine]`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hotswap.conformance.check import Check, all_checks


@pytest.mark.parametrize("check", [pytest.param(one, id=one.id) for one in all_checks() if one.clause[0] == "W"])
def test_clause(check: Check, show: Callable[[Check], None]) -> None:
    show(check)
