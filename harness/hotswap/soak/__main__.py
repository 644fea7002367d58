"""`python -m hotswap.soak NAME [NAME ...] [options] [--json [FILE]]`: several are made one after the other."""

from __future__ import annotations

import argparse
import sys
import traceback
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import NoReturn

from hotswap.cli.output import Exit, JsonTarget, Terminal
from hotswap.cli.progress import Progress
from hotswap.errors import GuestFault, HotswapError, UsageError
from hotswap.interrupt import ignore_stop_signals, raise_on_stop_signals, uninterrupted
from hotswap.machine.sweep import remove_own
from hotswap.soak import contract, etl, etl_large, faults, fuzz, machine, schedules, swaps
from hotswap.soak.result import SoakResult, show, to_json


@dataclass(frozen=True, slots=True)
class Soak:
    """One soak: what it says of itself, its options, and what it does with them."""

    help: str
    add_options: Callable[[ArgumentParser], None]
    run: Callable[[Namespace, Progress], SoakResult]


SOAKS: Mapping[str, Soak] = {
    "contract": Soak(
        "random steps on the conformance driver, compared with the model", contract.add_options, contract.run
    ),
    "etl": Soak("damaged and made-up traces for the reader and its native kernel", etl.add_options, etl.run),
    "etl-large": Soak("a trace of 10 GB, read in memory that does not grow", etl_large.add_options, etl_large.run),
    "faults": Soak("faults in every state of a swap test, and power cuts in mid-swap", faults.add_options, faults.run),
    "fuzz": Soak("hostile IOCTLs by seed, from scripts inside the guest", fuzz.add_options, fuzz.run),
    "machine": Soak("forks of a QEMU guest, and harnesses killed at random", machine.add_options, machine.run),
    "schedules": Soak("every reachable order of two workers and one swap", schedules.add_options, schedules.run),
    "swaps": Soak("good swaps in a row, in many guests and in one", swaps.add_options, swaps.run),
}


class _Parser(argparse.ArgumentParser):
    """Bad usage is one line here, as with `hotswap`."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def main(arguments: list[str]) -> int:
    """Run soaks: 0 when nothing went wrong and nothing grew, 1 otherwise."""
    try:
        names, options = _parse(arguments)
        target = JsonTarget(options.json)
        progress = Progress(Terminal(stderr=True), quiet=options.quiet, steps=False)
        results: list[SoakResult] = []
        try:
            with progress.live():
                for name in names:
                    results.append(SOAKS[name].run(options, progress))
        except BaseException:
            if results:  # hours of work, perhaps
                show(results, Terminal(stderr=True))
            raise
        target.write(to_json(results))
        if not target.is_standard_output:
            show(results, Terminal())
        return Exit.PASS if all(result.passed for result in results) else Exit.FAIL
    except UsageError as error:
        return _complain(error, Exit.USAGE)
    except GuestFault as error:
        return _complain(error, Exit.FAIL)
    except (HotswapError, OSError) as error:
        return _complain(error, Exit.LAB_FAULT)
    except KeyboardInterrupt:
        return _complain("interrupted", Exit.INTERRUPTED)
    except Exception:
        # A defect of ours. Python's own exit code for it would say that something grew.
        traceback.print_exc()
        return _complain("internal error; please report it with the lines above", Exit.LAB_FAULT)
    finally:
        with uninterrupted():
            remove_own()


def _parse(arguments: list[str]) -> tuple[list[str], Namespace]:
    """The names, which come first, and the options of all of them."""
    names = list(takewhile(lambda argument: not argument.startswith("-"), arguments))
    told = ", ".join(f"{name} ({soak.help})" for name, soak in SOAKS.items())
    parser = _Parser(
        prog="ci/soak",
        description=f"Long runs that must neither fail nor grow, one after the other: {told}.",
        usage="ci/soak NAME [NAME ...] [options of these] [--json [FILE]] [--quiet]",
        conflict_handler="resolve",
    )
    parser.add_argument("name", nargs="*", metavar="NAME", help=", ".join(SOAKS))
    parser.add_argument("--json", nargs="?", const="-", metavar="FILE", help="for machines; without FILE to stdout")
    parser.add_argument("--quiet", "-q", action="store_true", help="no progress")
    defaults: dict[str, tuple[str, object]] = {}
    for name in names:
        if name not in SOAKS:
            raise UsageError(f"there is no soak {name}; there are {', '.join(SOAKS)}")
        SOAKS[name].add_options(parser)
        for option, value in _defaults(SOAKS[name]).items():
            other, before = defaults.setdefault(option, (name, value))
            if before != value:
                raise UsageError(f"--{option} is not the same for {other} and {name}: make them one by one")
    options = parser.parse_args(arguments)
    if not names:
        raise UsageError(f"which one? There are {', '.join(SOAKS)}")
    if len(set(names)) < len(names):
        raise UsageError("one of them is named twice")
    return names, options


def _defaults(soak: Soak) -> Mapping[str, object]:
    parser = _Parser()
    soak.add_options(parser)
    return vars(parser.parse_args([]))


def _complain(error: BaseException | str, code: int) -> int:
    text = "; ".join([str(error), *getattr(error, "__notes__", [])])
    Terminal(stderr=True).print(f"ci/soak: {' '.join(text.split())}", markup=False)
    return code


if __name__ == "__main__":
    raise_on_stop_signals()
    code = main(sys.argv[1:])
    ignore_stop_signals()
    # As in hotswap.cli: Python would end by SIGINT, had one come while a string was executed.
    exec("pass")
    sys.exit(code)
