"""S1-S13, endpoints that the image lists: every check of them, a test each."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hotswap.conformance.check import Check, all_checks


@pytest.mark.parametrize("check", [pytest.param(one, id=one.id) for one in all_checks() if one.clause[0] == "S"])
def test_clause(check: Check, show: Callable[[Check], None]) -> None:
    show(check)
