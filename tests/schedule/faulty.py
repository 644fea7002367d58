"""Models with a defect each: what exploration has to find."""

from __future__ import annotations

from hotswap.schedule.model import Model, Program


class LostWakeUp(Model):
    """A worker that wakes up while calls are held waits again, for the next signal."""

    def call(self, thread: str, number: int) -> Program:
        if not self.stalled:
            yield from super().call(thread, number)


class TornSwitch(Model):
    """The version is said to be the new one, and the worker's wrapper follows only after the release."""

    def switch(self) -> Program:
        yield from super().switch()
        self.pointers["worker"] = 1

    def release(self) -> Program:
        yield from super().release()
        if self.in_force == 2:
            self.pointers["worker"] = 2


class LetThrough(Model):
    """A call is not held."""

    def must_wait(self, thread: str) -> bool:
        return False


class EarlyFree(Model):
    """The swap does not wait for calls inside, so that the old image is freed under them."""

    def drained(self) -> bool:
        return True


class MissedRollback(Model):
    """What was switched stays so, although the update failed afterwards."""

    def switch_back(self) -> Program:
        if self.in_force == 1:
            yield from super().switch_back()


class NestedHang(Model):
    """R29: a call from inside another one is held, and the outer one is waited for."""

    def must_wait(self, thread: str) -> bool:
        return self.stalled


class NotResumed(Model):
    """Only those who wait at the moment of the release go on."""

    def enter(self, thread: str, number: int) -> Program:
        while self.must_wait(thread):
            self.held += 1
            yield self.say("CallHeld", worker=number + 1)
            # A pulse finds only those that wait already.
            yield (lambda: self.resume) if self.stalled else (lambda: False)
            yield self.say("CallResumed", worker=number + 1)
        self.calls[thread] = self.calls.get(thread, 0) + 1


class WakeUpTwice(Model):
    """A call that was held runs again after its return."""

    def call(self, thread: str, number: int) -> Program:
        held = self.stalled
        yield from super().call(thread, number)
        if held:
            yield from super().call(thread, number)


FAULTY = {
    LostWakeUp: ("swap", "a wake-up was lost"),
    TornSwitch: ("swap", "EndpointWork (worker=1, iteration=1, version=1) with version 2 in force"),
    LetThrough: ("swap", "began an iteration while calls were held"),
    EarlyFree: ("swap", "was unloaded with an iteration of it under way"),
    MissedRollback: ("post-process-refused", "version 2 is in force in the end, and 1 should be"),
    NestedHang: ("swap", "waiting for ever: ('S', 'W1', 'W2')"),
    NotResumed: ("swap", "waiting for ever: ('W1',)"),
    WakeUpTwice: ("swap", "one that nobody asked for"),
}
"""Each with the scenario that shows it, and what is said of it."""
