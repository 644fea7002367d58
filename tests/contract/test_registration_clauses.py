"""R1-R33 and N1-N5: every check of them, a test each: `test_clause[R9-another-count-5]`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hotswap.conformance.check import Check, all_checks


@pytest.mark.parametrize("check", [pytest.param(one, id=one.id) for one in all_checks() if one.clause[0] in "RN"])
def test_clause(check: Check, show: Callable[[Check], None]) -> None:
    show(check)
