"""What an actor can do next: the contract in small steps (W15-W19, W24-W42, W53-W60, R8-R29).

Every function takes a world and gives the worlds that may follow; none where the actor has to wait. `Moves.free` says
that whatever others do before it, they could do after it with the same outcome, so that no other order has to be looked
at. What is not free: taking and setting events that somebody else looks at, a stall against calls that enter, two
registrations at the lock, and a drain limit against calls that leave.
"""

from __future__ import annotations

from typing import NamedTuple

from hotswap.conformance.model_world import (
    Actor,
    Behaviour,
    CallFrame,
    Endpoint,
    Extension,
    Frames,
    Point,
    SignalFrame,
    Status,
    SwapFrame,
    Worker,
    World,
)
from hotswap.conformance.script import NONE, Entry, Phase

MAX_DEPTH = 3
MAX_ITERATIONS = 8
"""Of one worker in one step; more is taken for a worker that never comes to rest."""
MAX_PARAMETERS = 32


class Unmodelled(Exception):
    """The step leads where this model says nothing: it never comes to rest, or races with a change of behaviour."""


class Moves(NamedTuple):
    """What may follow. `free`: see above."""

    worlds: tuple[World, ...] = ()
    free: bool = False


STUCK = Moves()


def moves(world: World, actor: Actor) -> Moves:
    """The next small step of an actor."""
    frames = world.frames(actor)
    if not frames:
        return _wait(world, actor) if actor.kind == "worker" else STUCK
    frame = frames[-1]
    if isinstance(frame, CallFrame):
        return _call(world, actor, frames, frame)
    if isinstance(frame, SwapFrame):
        return _swap(world, actor, frame)
    return _signal(world, actor, frame)


def _signal(world: World, actor: Actor, frame: SignalFrame) -> Moves:
    after = world.copy()
    first, rest = frame.events[0], frame.events[1:]
    after.set_frames(actor, (SignalFrame(rest),) if rest else ())
    if after.events[first].signalled:
        after.mark("set again")
    after.events[first] = after.events[first]._replace(signalled=True)
    return Moves((after,))


# Workers: the wait


def _wait(world: World, actor: Actor) -> Moves:
    worker = world.workers[actor.number]
    if not worker.alive:
        return STUCK
    satisfied = [
        index for index, number in enumerate(worker.events) if number != NONE and world.events[number].signalled
    ]
    if worker.wait_all:
        if worker.events and len(satisfied) == len(worker.events):
            woken = _woken(world, actor, worker, range(len(worker.events)), Status.SUCCESS, "all")
            return Moves((woken,), _alone(world, actor, worker))
        if satisfied:
            world.mark("partly signalled")
    elif satisfied:
        # The lowest index in practice; the kernel's page does not promise it (W25).
        after = tuple(_woken(world, actor, worker, (index,), index, "any") for index in satisfied)
        return Moves(after, _alone(world, actor, worker))
    if worker.timeout in ("short", "zero", "past"):
        return Moves((_woken(world, actor, worker, (), Status.TIMEOUT, "timeout"),), _alone(world, actor, worker))
    return STUCK


def _alone(world: World, actor: Actor, worker: Worker) -> bool:
    """Whether nobody else looks at its events, or may set or clear one."""
    if world.tester:
        return False
    events = set(worker.events)
    if any(each.sets in events or each.clears in events for each in world.behaviours.values()):
        return False
    others = (other for number, other in world.workers.items() if number != actor.number and other.alive)
    return all(events.isdisjoint(other.events) for other in others)


def _woken(world: World, actor: Actor, worker: Worker, taken: range | tuple[int, ...], status: int, how: str) -> World:
    after = world.copy()
    for index in taken:
        event = after.events[worker.events[index]]
        if not event.notification:
            after.events[worker.events[index]] = event._replace(signalled=False)
    frame = CallFrame(worker.extension, worker.id)
    if worker.function is not None:
        frame = CallFrame(NONE, worker.id, Point.ARRIVE, worker.function)
    after.workers[actor.number] = worker._replace(wait_status=status, frames=(frame,))
    after.mark(f"woken by {how}")
    return after


# Calls


def _top(world: World, actor: Actor, frames: Frames, frame: CallFrame | SwapFrame) -> World:
    after = world.copy()
    after.set_frames(actor, (*frames[:-1], frame))
    return after


def _call(world: World, actor: Actor, frames: Frames, frame: CallFrame) -> Moves:
    if frame.point is Point.ENTER:
        return _enter(world, actor, frames, frame)
    if frame.point is Point.ARRIVE:
        return _arrive(world, actor, frames, frame)
    behaviour = world.behaviour(frame.function)
    if frame.point is Point.CLEAR:
        after = _top(world, actor, frames, frame._replace(point=_before_gate(behaviour)))
        after.events[behaviour.clears] = after.events[behaviour.clears]._replace(signalled=False)
        return Moves((after,))
    if frame.point is Point.GATE:
        if not world.gates[behaviour.gate]:
            return STUCK
        return Moves((_top(world, actor, frames, frame._replace(point=Point.ACT)),), free=True)
    if frame.point is Point.ACT:
        after = _top(world, actor, frames, frame._replace(point=Point.LEAVE))
        if behaviour.nested is not None:
            _nest(after, actor, frame, *behaviour.nested)
        return Moves((after,), free=True)
    return _leave(world, actor, frames, frame, behaviour.value)


def _enter(world: World, actor: Actor, frames: Frames, frame: CallFrame) -> Moves:
    extension = world.extensions[frame.extension]
    nested = any(
        isinstance(outer, CallFrame) and outer.extension == frame.extension for outer in frames[:-1]
    )  # outer calls of a stack are past their entry
    if extension.stalled and not nested:
        world.mark("held worker" if actor.kind == "worker" else "held call")
        return STUCK
    after = _top(
        world,
        actor,
        frames,
        frame._replace(point=Point.ARRIVE, function=world.endpoints[frame.extension, frame.id].function),
    )
    if extension.stalled:
        after.mark("nested call in a stall")
    return Moves((after,), free=not _registering(world, frame.extension))


def _registering(world: World, extension: int) -> bool:
    return any(
        isinstance(frame, SwapFrame) and frame.extension == extension
        for lane in world.lanes.values()
        for frame in lane.frames
    )


def _arrive(world: World, actor: Actor, frames: Frames, frame: CallFrame) -> Moves:
    behaviour = world.behaviour(frame.function)
    point = _before_gate(behaviour) if behaviour.clears == NONE else Point.CLEAR
    after = _top(world, actor, frames, frame._replace(point=point))
    if behaviour.sets != NONE:
        after.events[behaviour.sets] = after.events[behaviour.sets]._replace(signalled=True)
    after.calls[frame.function] = after.calls.get(frame.function, 0) + 1
    if actor.kind == "worker" and len(frames) == 1:
        worker = after.workers[actor.number]
        versions = list(worker.versions)
        versions[frame.function[0] - 1] += 1
        after.workers[actor.number] = worker._replace(
            iterations=worker.iterations + 1, versions=tuple(versions), last_status=worker.wait_status
        )
    return Moves((after,), free=behaviour.sets == NONE)


def _before_gate(behaviour: Behaviour) -> Point:
    return Point.ACT if behaviour.gate == NONE else Point.GATE


def _nest(world: World, actor: Actor, outer: CallFrame, extension: int, generation: int, id: int) -> None:
    frames = world.frames(actor)
    there = extension in world.extensions and world.extensions[extension].generation == generation
    if not there or len(frames) >= MAX_DEPTH or extension < outer.extension:
        # It has gone; it is too deep; or two extensions could come to wait for each other.
        raise Unmodelled("nested call")
    world.set_frames(actor, (*frames, CallFrame(extension, id)))
    world.mark("nested call")


def _leave(world: World, actor: Actor, frames: Frames, frame: CallFrame, value: int) -> Moves:
    after = world.copy()
    after.set_frames(actor, frames[:-1])
    if len(frames) == 1 and actor.kind == "worker":
        worker = after.workers[actor.number]
        if ((value & 0xFF) != 0) == worker.true_ends:  # BOOLEAN is one byte (W22)
            after.workers[actor.number] = worker._replace(alive=False)
            after.mark("worker ended")
    elif len(frames) == 1:
        lane = after.lanes[actor.number]
        after.lanes[actor.number] = lane._replace(done=lane.done + 1, result=(value, *frame.function))
    if frame.extension == NONE or not world.extensions[frame.extension].short_drain:
        return Moves((after,), free=True)
    return Moves((after,), free=not _registering(world, frame.extension))


# Registrations


def _swap(world: World, actor: Actor, frame: SwapFrame) -> Moves:
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
