/* Writes a minidump of a process: what debuggers, WinDbg first of all, open. Modules, threads with their registers and the
 * upper part of their stacks, and the exception. No heap, no images: those are found by name. */
#pragma once

#include "portable.h"

typedef struct _MINIDUMP_CAUSE {
    DWORD ThreadId; /* 0: there was no exception */
    EXCEPTION_RECORD Record;
} MINIDUMP_CAUSE;

/*
 * The process must be stopped (a debugger holds it), or be one that may go on meanwhile. The file appears whole, under its own
 * name, or not at all. 0 or a Win32 error.
 */
_Must_inspect_result_ DWORD MinidumpWrite(HANDLE Process, DWORD ProcessId, _In_ const MINIDUMP_CAUSE *Cause, PCWSTR Path);
