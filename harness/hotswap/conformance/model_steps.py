"""What a step of a script does at once: the answer of the call, and the state from which the actors go on.

Where the contract leaves the answer open there are several worlds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hotswap.conformance.model_move import Unmodelled
from hotswap.conformance.model_records import (
    Behaviour,
    CallFrame,
    Event,
    Extension,
    Lane,
    Point,
    SignalFrame,
    Status,
    SwapFrame,
    Worker,
)
from hotswap.conformance.model_world import World
from hotswap.conformance.script import (
    ECHO_IDS,
    NONE,
    Behave,
    Call,
    Clear,
    CloseGate,
    CloseHandle,
    CreateExtension,
    CreateWorker,
    DeleteExtension,
    ForgetWorker,
    InitEvent,
    LoadOwner,
    OpenGate,
    Register,
    SetOptions,
    Signal,
    Step,
    UnloadOwner,
)

HELPER = 1
MAX_EVENTS = 64
Worlds = tuple[World, ...]


def begin(world: World, step: Step) -> Worlds:
    """The worlds right after the request was made. Raises Unmodelled where this model says nothing of it."""
    after = world.copy()
    after.result = ()
    after.marks = frozenset()
    after.tester = ()
    return _STEPS[type(step)](after, step)


def _require(holds: object, why: str) -> None:
    if not holds:
        raise Unmodelled(why)


def _answers(world: World, *results: Any) -> Worlds:
    """One world for each result that is right, nothing else changed."""
    worlds = tuple(world.copy() for _ in results)
    for each, result in zip(worlds, results, strict=True):
        each.result = (int(result),)
    return worlds


def _done(world: World) -> Worlds:
    return _answers(world, Status.SUCCESS)


def _create_extension(world: World, step: CreateExtension) -> Worlds:
    _require(step.extension not in world.extensions, "in use")
    _require(step.owner != HELPER or world.owner_loaded, "no such owner")
    refusals = []
    if step.flags:
        refusals.append(Status.INVALID_PARAMETER_2)
    if step.owner != NONE and any(extension.owner == step.owner for extension in world.extensions.values()):
        refusals.append(Status.RESOURCE_IN_USE)  # R2
    if refusals:
        return _answers(world, *refusals)
    world.generation += 1
    world.extensions[step.extension] = Extension(step.owner, world.generation)
    return _done(world)


def _busy(world: World, extension: int) -> bool:
    frames = any(getattr(frame, "extension", None) == extension for stack in world.stacks() for frame in stack)
    return frames or any(worker.alive and worker.extension == extension for worker in world.workers.values())


def _delete_extension(world: World, step: DeleteExtension) -> Worlds:
    _require(step.extension in world.extensions, "no extension")
    if _busy(world, step.extension):
        return _answers(world, Status.DEVICE_BUSY)
    _remove(world, step.extension)
    return _done(world)


def _remove(world: World, extension: int) -> None:
    del world.extensions[extension]
    for key in [key for key in world.endpoints if key[0] == extension]:
        del world.endpoints[key]


def _set_options(world: World, step: SetOptions) -> Worlds:
    _require(step.extension in world.extensions, "no extension")
    extension = world.extensions[step.extension]
    _require(
        not any(isinstance(f, SwapFrame) and f.extension == step.extension for s in world.stacks() for f in s),
        "read by a registration",
    )
    world.extensions[step.extension] = extension._replace(
        short_drain=step.short_drain,
        true_ends=step.true_ends,
        zero_events=step.zero_events,
        raw_routine=step.raw_routine,
        keep_after_post=step.keep_after_post,
    )
    return _done(world)


def _idle_lane(world: World, number: int) -> Lane:
    lane = world.lanes.get(number) or Lane()
    _require(not lane.frames, "lane is busy")
    return lane


def _register(world: World, step: Register) -> Worlds:
    lane = _idle_lane(world, step.lane)
    if step.extension == NONE:
        world.lanes[step.lane] = lane._replace(done=lane.done + 1, result=(int(Status.INVALID_PARAMETER_1), ()))
        world.mark("no extension")
        return (world,)
    _require(step.extension in world.extensions, "no extension")
    if step.null_array or not step.entries:
        # Refused before it waits for another registration.
        refusal = Status.INVALID_PARAMETER_2 if step.null_array else Status.INVALID_PARAMETER_3
        world.lanes[step.lane] = lane._replace(done=lane.done + 1, result=(int(refusal), ()))
        world.mark("registration refused")
        return (world,)
    for entry in step.entries:
        _require((entry.id < ECHO_IDS) == (entry.endpoint < ECHO_IDS), "function of another kind")
    frame = SwapFrame(step.extension, step.entries, step.callback)
    started = world.copy()
    started.lanes[step.lane] = lane._replace(frames=(frame,))
    if not step.fail:
        return (started,)
    _require(not any(isinstance(f, SwapFrame) for s in world.stacks() for f in s), "another registration allocates")
    world.lanes[step.lane] = lane._replace(done=lane.done + 1, result=(int(Status.INSUFFICIENT_RESOURCES), ()))
    return _failing(started, world)


def _failing(normal: World, failed: World) -> Worlds:
    """The result says whether the allocation that was to fail was reached; then the call must have failed."""
    normal.result = (*normal.result, "reached no failing allocation")
    failed.result = (*failed.result, "an allocation failed")
    failed.mark("out of memory")
    return (normal, failed)


def _call(world: World, step: Call) -> Worlds:
    lane = _idle_lane(world, step.lane)
    endpoint = world.endpoints.get((step.extension, step.id))
    _require(endpoint is not None and endpoint.published, "no wrapper")
    _require(step.id >= ECHO_IDS, "a worker routine")
    world.lanes[step.lane] = lane._replace(frames=(CallFrame(step.extension, step.id),))
    return (world,)


def _init_event(world: World, step: InitEvent) -> Worlds:
    _require(not any(w.alive and step.event in w.events for w in world.workers.values()), "waited on (W7)")
    world.events[step.event] = Event(step.notification, step.signalled)
    return _done(world)


def _signal(world: World, step: Signal) -> Worlds:
    world.tester = (SignalFrame(step.events),)
    return (world,)


def _clear(world: World, step: Clear) -> Worlds:
    world.events[step.event] = world.events[step.event]._replace(signalled=False)
    return _done(world)


def _open_gate(world: World, step: OpenGate) -> Worlds:
    world.gates = {**world.gates, step.gate: True}
    return _done(world)


def _close_gate(world: World, step: CloseGate) -> Worlds:
    world.gates = {**world.gates, step.gate: False}
    return _done(world)


def _behave(world: World, step: Behave) -> Worlds:
    function = (step.version, step.endpoint)
    _require(
        not any(
            isinstance(f, CallFrame) and f.point > Point.ENTER and f.function == function
            for s in world.stacks()
            for f in s
        ),
        "runs now",
    )
    nested = None
    if step.nested is not None:
        extension, id = step.nested
        endpoint = world.endpoints.get((extension, id))
        _require(endpoint is not None and endpoint.published, "no wrapper")
        _require(id >= ECHO_IDS, "a worker routine")
        nested = (extension, world.extensions[extension].generation, id)
    behaviour = Behaviour(step.value, step.sets, step.clears, step.gate, nested)
    world.behaviours = {**world.behaviours, function: behaviour}
    return _done(world)


def _create_worker(world: World, step: CreateWorker) -> Worlds:
    _require(step.worker not in world.workers, "in use")
    _require(step.extension == NONE or step.extension in world.extensions, "no extension")
    _require(step.routine != "foreign" or (step.foreign, step.id) in world.endpoints, "no wrapper")
    published = (world.endpoints.get((step.extension, step.id)), world.endpoints.get((step.foreign, step.id)))
    _require(not any(endpoint and not endpoint.published for endpoint in published), "not published yet")
    _require(step.id < ECHO_IDS and step.function[1] < ECHO_IDS, "no worker routine")
    count = len(step.events) if step.count == NONE else step.count
    _require(count >= len(step.events), "fewer events counted than given")
    if _refused(world, step, count):
        _require(not step.fail, "refused anyhow")
        world.mark("worker refused")
        return _answers(world, Status.INVALID_PARAMETER)
    _require(step.routine in ("wrapper", "raw"), "a routine that would crash")
    extension = world.extensions[step.extension]
    started = world.copy()
    raw = step.function if step.routine == "raw" else None
    waits_all = step.wait == 0
    started.workers[step.worker] = Worker(
        step.extension, step.id, raw, waits_all, step.events, step.timeout, extension.true_ends
    )
    started.result = (int(Status.SUCCESS),)
    if not step.fail:
        return (started,)
    (failed,) = _answers(world, Status.INSUFFICIENT_RESOURCES)
    return _failing(started, failed)


def _refused(world: World, step: CreateWorker, count: int) -> bool:
    extension = world.extensions.get(step.extension)
    if extension is None or step.routine == "null" or count > MAX_EVENTS:
        return True
    if count == 0 and not (extension.zero_events and step.timeout not in ("none", "ignored")):
        return True
    if step.wait not in (0, 1) or step.mode not in (0, 1) or NONE in step.events or count > len(step.events):
        return True
    if extension.raw_routine:
        return step.routine == "wrapper" and (step.extension, step.id) not in world.endpoints
    return step.routine != "wrapper" or (step.extension, step.id) not in world.endpoints


def _close_handle(world: World, step: CloseHandle) -> Worlds:
    _require(step.worker in world.workers and world.workers[step.worker].handle_open, "no handle")
    world.workers[step.worker] = world.workers[step.worker]._replace(handle_open=False)
    return _done(world)


def _forget_worker(world: World, step: ForgetWorker) -> Worlds:
    _require(step.worker in world.workers and not world.workers[step.worker].alive, "no ended worker")
    del world.workers[step.worker]
    return _done(world)


def _load_owner(world: World, _step: LoadOwner) -> Worlds:
    _require(not world.owner_loaded, "loaded")
    world.owner_loaded = True
    return _done(world)


def _unload_owner(world: World, _step: UnloadOwner) -> Worlds:
    _require(world.owner_loaded, "not loaded")
    owned = [number for number, extension in world.extensions.items() if extension.owner == HELPER]
    # What is inside then is a bug check.
    inside = any(getattr(frame, "extension", None) in owned for stack in world.stacks() for frame in stack)
    _require(not inside, "in use")
    running = any(worker.frames and worker.extension in owned for worker in world.workers.values())
    _require(not running, "in use")
    for number, worker in world.workers.items():
        if worker.alive and worker.extension in owned:
            world.workers[number] = worker._replace(alive=False)
            world.mark("worker gone with its owner")
    for number in owned:
        _remove(world, number)
        world.mark("gone with its owner")
    world.owner_loaded = False
    return _done(world)


_STEPS: dict[type[Step], Callable[[World, Any], Worlds]] = {
    CreateExtension: _create_extension,
    DeleteExtension: _delete_extension,
    SetOptions: _set_options,
    Register: _register,
    Call: _call,
    InitEvent: _init_event,
    Signal: _signal,
    Clear: _clear,
    OpenGate: _open_gate,
    CloseGate: _close_gate,
    Behave: _behave,
    CreateWorker: _create_worker,
    CloseHandle: _close_handle,
    ForgetWorker: _forget_worker,
    LoadOwner: _load_owner,
    UnloadOwner: _unload_owner,
}
