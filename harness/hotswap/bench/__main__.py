"""`python -m hotswap.bench NAME [--json [FILE]]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from hotswap.bench import agent, etl, export, machine, report, rules, runtime, swap, transports
from hotswap.bench.table import Row, show, to_json
from hotswap.cli.output import Exit, JsonTarget, Terminal
from hotswap.errors import GuestFault, HotswapError, UsageError
from hotswap.interrupt import ignore_stop_signals, raise_on_stop_signals, uninterrupted
from hotswap.machine.sweep import remove_own

BENCHMARKS: dict[str, Callable[[], tuple[list[Row], dict[str, Any]]]] = {
    "swap": swap.run,
    "agent": agent.run,
    "etl": etl.run,
    "export": export.run,
    "machine": machine.run,
    "report": report.run,
    "rules": rules.run,
    "runtime": runtime.run,
    "transports": transports.run,
}


class _Parser(argparse.ArgumentParser):
    """Bad usage is one line here, as with `hotswap`."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def main(arguments: list[str]) -> int:
    """Run one benchmark. A figure that misses its aim is reported, not an error."""
    parser = _Parser(prog="ci/bench", description="Measure ours beside the alternative, in one run.")
    parser.add_argument("name", choices=sorted(BENCHMARKS))
    parser.add_argument("--json", nargs="?", const="-", metavar="FILE", help="for machines; without FILE to stdout")
    try:
        options = parser.parse_args(arguments)
        target = JsonTarget(options.json)
        rows, details = BENCHMARKS[options.name]()
        if not target.is_standard_output:
            show(f"ci/bench {options.name}", rows)
        target.write(to_json(rows, details))
    except UsageError as error:
        return _complain(error, Exit.USAGE)
    except GuestFault as error:
        return _complain(error, Exit.FAIL)
    except (HotswapError, OSError) as error:
        return _complain(error, Exit.LAB_FAULT)
    except KeyboardInterrupt:
        return _complain("interrupted", Exit.INTERRUPTED)
    finally:
        with uninterrupted():
            remove_own()
    return Exit.PASS


def _complain(error: Exception | str, code: int) -> int:
    Terminal(stderr=True).print(f"ci/bench: {' '.join(str(error).split())}", markup=False)
    return code


if __name__ == "__main__":
    raise_on_stop_signals()
    code = main(sys.argv[1:])
    ignore_stop_signals()
    sys.exit(code)
