"""The steps of a registration: PreProcess, stall, drain, ProxyStalled, switch, PostProcess, and back (R8-R27, R32)."""

from __future__ import annotations

from hotswap.conformance.model_move import STUCK, Moves
from hotswap.conformance.model_records import Actor, Endpoint, Extension, Point, Status, SwapFrame
from hotswap.conformance.model_world import World
from hotswap.conformance.script import NONE, Entry, Phase

MAX_PARAMETERS = 32


def swap(world: World, actor: Actor, frame: SwapFrame) -> Moves:
    """The next small step of a registration."""
    extension = world.extensions[frame.extension]
    point = frame.point
    if point is Point.LOCK:
        return _lock(world, actor, frame, extension)
    if point in _OF_GATE:
        return _after_phase(world, actor, frame, extension)
    if point in (Point.DRAIN, Point.UNDO_DRAIN):
        inside = world.inside(frame.extension) != 0
        if inside and not extension.short_drain:
            world.mark("drain waits")
            return STUCK
        return Moves((_drained(world.copy(), actor, frame, extension),), free=not inside)
    after = world.copy()
    if point in (Point.STALL, Point.UNDO_STALL):
        after.extensions[frame.extension] = extension._replace(stalled=True)
        _to(after, actor, frame, Point.DRAIN if point is Point.STALL else Point.UNDO_DRAIN)
        return Moves((after,))
    if point is Point.SWITCH:
        _switch(after, frame)
        after.extensions[frame.extension] = extension._replace(stalled=False)
        _to(after, actor, frame, Point.POST)
    elif point is Point.END:
        _end(after, actor, frame, frame.result)
    else:
        _phase(after, actor, frame)
    return Moves((after,), free=True)


def _lock(world: World, actor: Actor, frame: SwapFrame, extension: Extension) -> Moves:
    if extension.swapper != NONE:
        world.mark("registration queued")
        return STUCK
    waiting = sum(
        isinstance(each, SwapFrame) and each.extension == frame.extension
        for lane in world.lanes.values()
        for each in lane.frames
    )
    return Moves(_begin(world.copy(), actor, frame), free=waiting == 1)


def _switch(after: World, frame: SwapFrame) -> None:
    for entry in frame.entries:
        known = (frame.extension, entry.id) in after.endpoints
        endpoint = Endpoint((entry.version, entry.endpoint), entry.parameters, known)
        after.endpoints[frame.extension, entry.id] = endpoint


def _to(world: World, actor: Actor, frame: SwapFrame, point: Point) -> None:
    world.set_frames(actor, (frame._replace(point=point),))


def faults(world: World, extension: int, entries: tuple[Entry, ...]) -> set[int]:
    """What a registration may be refused with; any of these, for the order of checks is open."""
    found: set[int] = set()
    if len({entry.id for entry in entries}) < len(entries):
        found.add(Status.INVALID_PARAMETER_2)  # R14
    for entry in entries:
        known = world.endpoints.get((extension, entry.id))
        if entry.version == 0 or entry.parameters > MAX_PARAMETERS:
            found.add(Status.INVALID_PARAMETER_2)
        if known is not None and known.parameters != entry.parameters:
            found.add(Status.INVALID_PARAMETER_3)  # R9
    return found


def _begin(after: World, actor: Actor, frame: SwapFrame) -> tuple[World, ...]:
    refusals = faults(after, frame.extension, frame.entries)
    if refusals:
        worlds = tuple(after.copy() for _ in refusals)
        for world, status in zip(worlds, sorted(refusals), strict=True):
            _end(world, actor, frame, status, held=False)
            world.mark("registration refused")
        return worlds
    old = tuple(after.endpoints.get((frame.extension, entry.id)) for entry in frame.entries)
    frame = frame._replace(old=old)
    after.extensions[frame.extension] = after.extensions[frame.extension]._replace(swapper=actor.number)
    _to(after, actor, frame, Point.PRE)
    return (after,)


_NEXT = {Point.PRE: Point.STALL, Point.STALLED: Point.SWITCH, Point.POST: Point.END}
_PHASE = {Point.PRE: 0, Point.STALLED: 1, Point.POST: 2}
_GATE = {Point.PRE: Point.PRE_GATE, Point.STALLED: Point.STALLED_GATE, Point.POST: Point.POST_GATE}
_OF_GATE = {gate: point for point, gate in _GATE.items()}


def _phase(after: World, actor: Actor, frame: SwapFrame) -> None:
    """The callback is entered; without one there is nothing to wait for or to fail (R27)."""
    if frame.callback is None:
        _to(after, actor, frame, _NEXT[frame.point])
    else:
        after.phase_calls += 1
        _to(after, actor, frame, _GATE[frame.point])


def _after_phase(world: World, actor: Actor, frame: SwapFrame, extension: Extension) -> Moves:
    assert frame.callback is not None
    point = _OF_GATE[frame.point]
    phase: Phase = frame.callback[_PHASE[point]]
    if phase.gate != NONE and not world.gates[phase.gate]:
        return STUCK
    after = world.copy()
    # Whatever is not STATUS_SUCCESS refuses; the caller gets a status that says failure.
    result = Status.UNSUCCESSFUL if 0 < phase.status < 0x80000000 else phase.status
    frame = frame._replace(result=result, phases=(*frame.phases, (_PHASE[point], phase.status)))
    if result == Status.SUCCESS:
        _to(after, actor, frame, _NEXT[point])
    elif point is Point.PRE:
        after.mark("refused in PreProcess")
        _end(after, actor, frame, result)  # R23
    elif point is Point.STALLED:
        after.mark("refused in ProxyStalled")
        after.extensions[frame.extension] = extension._replace(stalled=False)
        _end(after, actor, frame, result)  # R24
    elif extension.keep_after_post:
        after.mark("kept after PostProcess")
        _end(after, actor, frame, result)
    else:
        _to(after, actor, frame, Point.UNDO_STALL)  # R25
    return Moves((after,), free=True)


def _drained(after: World, actor: Actor, frame: SwapFrame, extension: Extension) -> World:
    """Nobody is inside, or the limit is over."""
    undo = frame.point is Point.UNDO_DRAIN
    in_time = after.inside(frame.extension) == 0
    if in_time and not undo:
        _to(after, actor, frame, Point.STALLED)
        return after
    after.extensions[frame.extension] = extension._replace(stalled=False)
    if not in_time:
        # R12. After a rollback that timed out the new version stays.
        after.mark("rollback timed out" if undo else "drain timed out")
        _end(after, actor, frame, Status.UNSUCCESSFUL)
        return after
    for entry, old in zip(frame.entries, frame.old, strict=True):
        if old is None:
            del after.endpoints[frame.extension, entry.id]
        else:
            after.endpoints[frame.extension, entry.id] = old
    after.mark("rolled back")
    _end(after, actor, frame, frame.result)
    return after


def _end(world: World, actor: Actor, frame: SwapFrame, status: int, *, held: bool = True) -> None:
    if held:
        world.extensions[frame.extension] = world.extensions[frame.extension]._replace(swapper=NONE)
    for entry in frame.entries:
        endpoint = world.endpoints.get((frame.extension, entry.id))
        if held and endpoint is not None and not endpoint.published:
            world.endpoints[frame.extension, entry.id] = endpoint._replace(published=True)
    lane = world.lanes[actor.number]
    world.lanes[actor.number] = lane._replace(frames=(), done=lane.done + 1, result=(int(status), frame.phases))
    if status == Status.SUCCESS:
        replaced = any(frame.old)
        world.mark("swapped" if replaced else "registered")
