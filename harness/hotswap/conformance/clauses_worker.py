"""Clauses of hot-swappable worker threads (reference "driver-hot-swap", section 4)."""

from __future__ import annotations

from collections.abc import Mapping

from hotswap.conformance.clauses import Clause

_NO_IRQL: Mapping[str, str] = {"wine": "Wine has no IRQL: KeGetCurrentIrql always reads 0"}
_NO_ALERT: Mapping[str, str] = {"wine": "Wine alerts no thread: KeAlertThread and ZwAlertThread do nothing there"}

WORKER: tuple[Clause, ...] = (
    # 4.1 Creation
    Clause(
        "W1",
        "D",
        "A worker thread is created at PASSIVE_LEVEL only.",
        {**_NO_IRQL, "*": "the rule is the caller's: what happens to one who breaks it is not described"},
    ),
    Clause("W2", "D", "Without a worker routine: STATUS_INVALID_PARAMETER, and no thread."),
    Clause("W3", "D/K/?", "An invalid number of events, more than 64 or (switch) none: STATUS_INVALID_PARAMETER."),
    Clause("W4", "D", "Where DriverProxy is not available: STATUS_NOT_SUPPORTED."),
    Clause("W5", "D", "Out of memory: STATUS_INSUFFICIENT_RESOURCES, no thread, and nothing leaks."),
    Clause(
        "W6", "D/X", "The start context is copied, all its event pointers too: the caller may overwrite it at once."
    ),
    Clause("W7", "K", "The events are not copied: the thread waits on the caller's own objects."),
    Clause("W8", "P", "Of the start context 0x30 + 8 * EventCount bytes are read, and none beyond."),
    Clause("W9", "D/?", "The worker routine must be a wrapper of the extension; a raw function is refused (switch)."),
    Clause("W10", "D", "ObjectAttributes, ProcessHandle and ClientId may each be NULL."),
    Clause("W11", "K", "ClientId receives the process and the thread id of the new thread."),
    Clause("W12", "K", "Closing the handle stops nothing; the referenced thread object tells the thread's end."),
    Clause(
        "W13",
        "K",
        "Outside the system process the caller asks for a kernel handle.",
        {"wine": "Wine runs all drivers in one ordinary process and keeps no separate table of kernel handles"},
    ),
    Clause("W14", "?", "A NULL extension: not stated; refused with STATUS_INVALID_PARAMETER."),
    # 4.2 The loop
    Clause("W15", "D", "The thread waits first: without an event and without a time-out the routine is never called."),
    Clause("W16", "D", "Each completed wait makes exactly one call of the routine, with the given context, or NULL."),
    Clause("W17", "D", "The routine's WaitStatus is what the wait returned."),
    Clause("W18", "D/?", "TRUE: the thread waits again on the same objects. FALSE: it ends (switch for the reverse)."),
    Clause("W19", "K", "Iterations of one worker never overlap and come in order, on one thread."),
    Clause("W20", "D", "The routine is entered at PASSIVE_LEVEL and returns at it.", _NO_IRQL),
    Clause("W21", "D/?", "Wait type, mode, alertability, time-out and events stay as given for the thread's life."),
    Clause("W22", "K", "BOOLEAN is one byte: any non-zero value is TRUE, the register's upper bits mean nothing."),
    Clause(
        "W23",
        "K/?",
        "The thread runs as a system thread, with normal kernel APCs disabled.",
        {
            "wine": "Wine has no kernel APCs: KeQueueApc and KeAreApcsDisabled are absent or do nothing",
            "*": "whether the kernel enters a critical region around the loop is not described",
        },
    ),
    # 4.3 WaitAny
    Clause("W24", "K", "WaitAny: event n signalled gives STATUS_WAIT_0 + n."),
    Clause("W25", "K", "WaitAny: of several signalled events one satisfies an iteration, the lowest index first."),
    Clause("W26", "K", "An auto-reset event gives one iteration a set, and is consumed only by the wait it satisfied."),
    Clause("W27", "K", "A notification event stays signalled: wait after wait returns at once until it is cleared."),
    Clause("W28", "K", "An event that is signalled already at creation gives the first iteration without waiting."),
    Clause("W29", "K", "Sets of a signalled auto-reset event are not counted: two before the wait give one iteration."),
    Clause("W30", "K", "What is signalled while the routine runs is seen by the next wait: no wake-up is lost."),
    # 4.4 WaitAll
    Clause("W31", "K", "WaitAll: the routine runs once all events are signalled at one time, with STATUS_SUCCESS."),
    Clause("W32", "K", "WaitAll: no auto-reset event is consumed until all can be."),
    Clause("W33", "K", "With one event WaitAll and WaitAny cannot be told apart."),
    Clause(
        "W34",
        "?",
        "One event twice in an array: not described.",
        {"*": "no source says what happens, and the reference advises against a test that depends on it"},
    ),
    # 4.5 Time-out
    Clause("W35", "D", "Without HasTimeout the wait has no limit, whatever Timeout contains."),
    Clause("W36", "D", "A negative Timeout is relative to the start of the wait; its end is STATUS_TIMEOUT."),
    Clause("W37", "D", "A positive Timeout is an absolute time, in 100 ns since 1601."),
    Clause("W38", "D/K", "Timeout zero polls: a satisfied wait gives its status, any other STATUS_TIMEOUT at once."),
    Clause("W39", "?", "A relative time-out is armed in full for each wait (switch: one deadline from creation)."),
    Clause("W40", "K", "An absolute time that is past: every iteration comes at once."),
    Clause("W41", "K/I", "Signalled before the end of the time-out: the event's status, also when both hold at once."),
    Clause("W42", "K", "STATUS_TIMEOUT consumes no event and does not end the thread: the routine decides."),
    Clause("W43", "K", "A time-out never comes earlier than asked for, but for one clock tick."),
    # 4.6 Alertable and UserMode waits
    Clause(
        "W44", "K", "An alerted thread's routine gets STATUS_ALERTED when Altertable is set, and never else.", _NO_ALERT
    ),
    Clause(
        "W45",
        "K",
        "UserMode: a user APC may end the wait, with STATUS_USER_APC.",
        {
            "wine": "Wine's driver threads get no user APCs, and its kernel stacks are not pageable",
            "*": "a system thread gets no user APC by any documented means",
        },
    ),
    Clause(
        "W46",
        "K",
        "UserMode: nothing that is waited on, nor the wait blocks, lies on the thread's stack.",
        {
            "wine": "Wine pages no kernel stack out, and its waits use no wait blocks",
            "*": "a rule for who implements the wait; a stack that is paged out cannot be brought about from a driver",
        },
    ),
    Clause("W47", "D", "Drivers below the top of the stack wait in KernelMode, and the mode is taken as given."),
    Clause("W48", "K", "STATUS_ALERTED and STATUS_USER_APC consume no event and do not end the loop.", _NO_ALERT),
    Clause("W49", "K", "WaitReason is for diagnosis only: any value gives the same results."),
    # 4.7 Limits
    Clause("W50", "K", "Up to 64 events can be waited for; beyond three the runtime brings the wait blocks itself."),
    Clause("W51", "?", "4 to 64 events: unverified on Windows, accepted here; portable drivers use 1 to 3."),
    Clause("W52", "?", "A NULL event, a wait type but WaitAll and WaitAny, a mode above UserMode: refused."),
    # 4.8 Hot swap
    Clause("W53", "D/I", "A swap while the thread waits is free to go; the next wake-up calls the new version."),
    Clause("W54", "D/PAT", "A swap while the routine runs waits for its return, or fails by the drain limit."),
    Clause("W55", "I", "An event signalled while calls are stalled is not lost: its call reaches the new version."),
    Clause("W56", "D/I", "Thread object, handle and client id are the same before and after (switch: made anew)."),
    Clause("W57", "I", "The context is not translated: the new version gets the pointer that the old one gave."),
    Clause("W58", "I", "The routine ends its thread by its return value and starts no swap of its own extension."),
    Clause("W59", "I", "Threads may share a wrapper; a swap drains them all."),
    Clause("W60", "?", "After a failed or rolled-back swap the thread goes on with the old version."),
    Clause("W61", "K", "Only its routine ends a worker: signal, wait for the thread object, then free what it used."),
)
