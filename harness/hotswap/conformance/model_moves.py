"""What an actor can do next: the contract in small steps (W15-W19, W24-W42, W53-W60, R8-R29).

Every function takes a world and gives the worlds that may follow; none where the actor has to wait. `Moves.free` says
that whatever others do before it, they could do after it with the same outcome, so that no other order has to be looked
at. What is not free: taking and setting events that somebody else looks at, a stall against calls that enter, two
registrations at the lock, and a drain limit against calls that leave.
"""

from __future__ import annotations

from hotswap.conformance.model_move import STUCK, Moves, Unmodelled
from hotswap.conformance.model_records import (
    Actor,
    Behaviour,
    CallFrame,
    Frames,
    Point,
    SignalFrame,
    Status,
    SwapFrame,
    Worker,
)
from hotswap.conformance.model_swap import swap
from hotswap.conformance.model_world import World
from hotswap.conformance.script import NONE

MAX_DEPTH = 3
MAX_ITERATIONS = 8
"""Of one worker in one step; more is taken for a worker that never comes to rest."""


def moves(world: World, actor: Actor) -> Moves:
    """The next small step of an actor."""
    frames = world.frames(actor)
    if not frames:
        return _wait(world, actor) if actor.kind == "worker" else STUCK
    frame = frames[-1]
    if isinstance(frame, CallFrame):
        return _call(world, actor, frames, frame)
    if isinstance(frame, SwapFrame):
        return swap(world, actor, frame)
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
    frame = CallFrame(worker.extension, worker.id, Point.WAKE)
    if worker.function is not None:
        frame = CallFrame(NONE, worker.id, Point.WAKE, worker.function)
    after.workers[actor.number] = worker._replace(wait_status=status, frames=(frame,))
    after.mark(f"woken by {how}")
    return after


# Calls


def _top(world: World, actor: Actor, frames: Frames, frame: CallFrame | SwapFrame) -> World:
    after = world.copy()
    after.set_frames(actor, (*frames[:-1], frame))
    return after


def _call(world: World, actor: Actor, frames: Frames, frame: CallFrame) -> Moves:
    if frame.point is Point.WAKE:
        point = Point.ARRIVE if frame.extension == NONE else Point.ENTER
        return Moves((_top(world, actor, frames, frame._replace(point=point)),), free=True)
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
