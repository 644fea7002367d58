"""`python -m hotswap.bench NAME [--json FILE]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from hotswap.bench import agent, swap
from hotswap.bench.table import Row, show, to_json
from hotswap.cli.output import Exit, write_json
from hotswap.errors import GuestFault, HotswapError, UsageError

BENCHMARKS: dict[str, Callable[[], tuple[list[Row], dict[str, Any]]]] = {"swap": swap.run, "agent": agent.run}


def main(arguments: list[str]) -> int:
    """Run one benchmark. A figure that misses its aim is reported, not an error."""
    parser = argparse.ArgumentParser(prog="ci/bench", description=__doc__)
    parser.add_argument("name", choices=sorted(BENCHMARKS))
    parser.add_argument("--json", nargs="?", const="-", metavar="FILE")
    options = parser.parse_args(arguments)
    try:
        rows, details = BENCHMARKS[options.name]()
        if options.json != "-":
            show(f"ci/bench {options.name}", rows)
        if options.json is not None:
            write_json(to_json(rows, details), options.json)
    except UsageError as error:
        return _complain(error, Exit.USAGE)
    except GuestFault as error:
        return _complain(error, Exit.FAIL)
    except HotswapError as error:
        return _complain(error, Exit.LAB_FAULT)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    return Exit.PASS


def _complain(error: Exception, code: int) -> int:
    print(f"ci/bench: {error}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
