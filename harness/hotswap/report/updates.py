"""Each update as the report shows it: how it ended, how long calls were held, and what the time went into."""

from __future__ import annotations

from dataclasses import dataclass

from hotswap.report.format import DASH, duration
from hotswap.report.model import TraceModel
from hotswap.swap.result import SwapResult, phase_ticks
from hotswap.swap.swaps import Swap
from hotswap.swap.witnesses import UpdateReply
from hotswap.trace.expect import status_text

# Parts by the ticks of HOTSWAP_UPDATE_REPLY, one after the other without a gap.
_STALL = (("drain", "stalled", "drained"), ("switch", "drained", "switched"), ("release", "switched", "released"))
_WHOLE = (
    ("load", "begin", "loaded"),
    ("prepare", "loaded", "stalled"),
    ("stall", "stalled", "released"),
    ("finish", "released", "post_process"),
    ("unload", "post_process", "unloaded"),
)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a stacked bar; `share` of the bar's scale in percent."""

    name: str
    share: float
    text: str


@dataclass(frozen=True, slots=True)
class Hold:
    """The time from the first held call to the release, as a bracket over the stall bar (percent)."""

    left: float
    share: float


@dataclass(frozen=True, slots=True)
class UpdateView:
    """One update. `swap` is the number of its swap in the trace, None when it has none."""

    number: int
    swap: int | None
    from_version: int
    to_version: int
    outcome: str
    """`done`, `refused` (cleanly, the old version goes on) or `failed`."""
    says: str
    held_calls: int
    hold: str
    hold_us: float | None
    stall: str
    total: str
    stall_bar: tuple[Piece, ...]
    whole_bar: tuple[Piece, ...]
    bracket: Hold | None
    figures: tuple[tuple[str, str], ...]


def updates_view(result: SwapResult, model: TraceModel) -> tuple[UpdateView, ...]:
    """All updates in order. Bars of whole updates have one scale; that of the stall, mostly far too short, its own."""
    pairs = [(update, _swap_of(number, update, model)) for number, update in enumerate(result.updates)]
    longest = max((sum(_ticks(update, _WHOLE).values()) for update, _ in pairs), default=0)
    frequency = result.tick_frequency
    return tuple(
        _view(number, update, swap, frequency, longest)
        for number, (update, swap) in enumerate(pairs, 1)
    )  # fmt: skip


def _view(number: int, update: UpdateReply, swap: Swap | None, frequency: int, longest: int) -> UpdateView:
    phases = {name: _us(ticks, frequency) for name, ticks in phase_ticks(update).items()}
    stall, whole = _ticks(update, _STALL), _ticks(update, _WHOLE)
    stalled = sum(stall.values())
    succeeded = not update.status & 0x80000000
    status = update.status_name or status_text(update.status, wait=False)
    to = swap.to_version if swap is not None else update.to_version
    if succeeded:
        outcome, says = "done", f"{status}"
    elif update.rolled_back or update.to_version == update.from_version:
        outcome = "refused"
        says = f"{status}; {'rolled back, ' if update.rolled_back else ''}version {update.from_version} went on"
    else:
        outcome, says = "failed", status
    first, begun = update.ticks.get("first_held"), update.ticks.get("stalled")
    bracket = None
    if first and begun and stalled and phases.get("hold") is not None:
        held = phase_ticks(update)["hold"] or 0
        bracket = Hold(100 * max(0, first - begun) / stalled, 100 * held / stalled)
    return UpdateView(
        number=number,
        swap=None if swap is None else swap.number,
        from_version=update.from_version,
        to_version=to,
        outcome=outcome,
        says=says,
        held_calls=update.held_calls,
        hold=duration(phases.get("hold")) if phases.get("hold") is not None else "no call held",
        hold_us=phases.get("hold"),
        stall=duration(_us(stalled, frequency)) if stall else DASH,
        total=duration(phases.get("total")),
        stall_bar=_pieces(stall, stalled, frequency),
        whole_bar=_pieces(whole, longest, frequency),
        bracket=bracket,
        figures=tuple((name.replace("_", " "), duration(value)) for name, value in phases.items()),
    )


def _ticks(update: UpdateReply, parts: tuple[tuple[str, str, str], ...]) -> dict[str, int]:
    at = update.ticks
    return {name: max(0, at[last] - at[first]) for name, first, last in parts if at.get(first) and at.get(last)}


def _pieces(parts: dict[str, int], longest: int, frequency: int) -> tuple[Piece, ...]:
    scale = 100 / longest if longest else 0.0
    return tuple(Piece(name, ticks * scale, duration(_us(ticks, frequency))) for name, ticks in parts.items())


def _us(ticks: int | None, frequency: int) -> float | None:
    return None if ticks is None else ticks * 1e6 / frequency


def _swap_of(number: int, update: UpdateReply, model: TraceModel) -> Swap | None:
    """The swap in the trace that began within the update, for both have one clock; without times, by position."""
    begun, ended = update.ticks.get("begin"), update.ticks.get("end")
    swaps = model.trace.swaps
    if not begun or not ended:
        same = number < len(swaps) and swaps[number].from_version == update.from_version
        return swaps[number] if same else None
    for swap in swaps:
        tick = swap.tick("Begin")
        if tick is not None and begun <= tick <= ended:
            return swap
    return None
